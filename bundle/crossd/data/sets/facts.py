"""What is known of a published data set before its files are seen, and what they are checked against."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError

from crossd.errors import CrossDError
from crossd.files import md5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PaperRow:
    """A row of Table IV (2D) or V (3D) of the Cross-D Conv paper (arXiv 2411.02441v4)."""

    table: str
    count: int  # samples
    size: tuple[int, ...]  # as printed: (height, width, channel) in Table IV, (channel, …) in Table V
    value_range: tuple[float, float]
    classes: int


@dataclass(frozen=True)
class DatasetFacts:
    """A data set that has a name here."""

    name: str  # what `--dataset` takes
    title: str  # how its authors call it
    task: str  # what is classified
    address: str  # the official page
    licence: str  # of the data
    class_names: tuple[str, ...]  # in the order of the preset
    meaning: str  # of a label; where that is not what the paper says, it begins with "Not"
    get: str  # how to get the files, one sentence
    count: int | None = None  # cases of the official release; None where it is not stated
    preset: str | None = None  # file in `configs/datasets`, for volumes
    paper: PaperRow | None = None
    multilabel: bool = False  # any number of classes for a case

    def missing(self, what: str, where: str | Path) -> CrossDError:
        """The error for files that are not there: what is needed, and how to get it.

        >>> facts = DatasetFacts("a", "A", "b", "https://a.org", "CC0", (), "", "Download a.zip.")
        >>> print(facts.missing("a.zip", "data"))
        A needs a.zip, and data does not hold it. Download a.zip. Official address: https://a.org (CC0).
        """
        return CrossDError(
            f"{self.title} needs {what}, and {where} does not hold it. {self.get} "
            f"Official address: {self.address} ({self.licence})."
        )


@dataclass(frozen=True)
class ReleasedCase:
    """One case of a published data set, before it is in a list."""

    images: tuple[str | Path, ...]  # a path for each channel
    label: str | tuple[str, ...]  # class name; several for a multilabel set
    patient: str = ""  # stays in one split; empty where the release names none: the case counts as a patient
    split: str = ""  # "train", "val" or "test" where the release says so
    name: str = ""  # empty: made from the path

    @property
    def labels(self) -> tuple[str, ...]:
        """All of them, where there is one too."""
        return (self.label,) if isinstance(self.label, str) else self.label


@dataclass
class Found:
    """What a module found under a root."""

    cases: list[ReleasedCase]  # in a fixed order
    size: tuple[int, ...] | None = None  # axes of the first volume in voxels, where it was looked at
    value_range: tuple[float, float] | None = None  # smallest and largest voxel, where all were looked at
    notes: list[str] = field(default_factory=list)  # one sentence each: what was left out, and why
    class_names: tuple[str, ...] = ()  # where they are not those of the facts
    paper: PaperRow | None = None  # of just these files, where the facts are of several
    image_column: str = "image"  # of labels.csv; "filename" for images, as 2D pre-training lists them


def deviations(facts: DatasetFacts, found: Found) -> list[str]:
    """In what the files differ from the official release and from the paper, one sentence each.

    >>> row = PaperRow("V", 200, (1, 128, 128, 64), (0, 1), 2)
    >>> facts = DatasetFacts("a", "A", "b", "c", "d", ("x", "y"), "", "", count=3, paper=row)
    >>> deviations(facts, Found([ReleasedCase((f"{number}.nii",), "xyy"[number]) for number in range(3)]))
    ['A: 3 cases here, 200 in Table V of the paper.']
    """
    count = len(found.cases)
    said = []
    if facts.count is not None and count != facts.count:
        said.append(f"{facts.title}: {count} cases here, {facts.count} in the official release.")
    labels = {label for case in found.cases for label in case.labels}
    absent = [name for name in found.class_names or facts.class_names if name not in labels]
    if absent:
        said.append(f"{facts.title}: no case of {', '.join(absent)} here.")
    paper = found.paper or facts.paper
    if paper is None:
        return said
    where = f"in Table {paper.table} of the paper"
    if count != paper.count:
        said.append(f"{facts.title}: {count} cases here, {paper.count} {where}.")
    if len(labels) != paper.classes and not facts.multilabel:
        said.append(f"{facts.title}: {len(labels)} classes here, {paper.classes} {where}.")
    if found.size is not None and found.size != paper.size:
        said.append(f"{facts.title}: size {found.size} here, {paper.size} {where}.")
    if found.value_range is not None and found.value_range != paper.value_range:
        here, there = (f"{low:g} to {high:g}" for low, high in (found.value_range, paper.value_range))
        said.append(f"{facts.title}: values {here} here, {there} {where}.")
    return said


@dataclass(frozen=True)
class OfficialFile:
    """A published file: its address, its name under the root, the MD5 of its bytes and the licence of the data."""

    url: str
    name: str
    md5: str
    licence: str


def official_file(
    file: OfficialFile, root: str | os.PathLike[str], *, download: bool = False, unverified: bool = False
) -> Path:
    """The path below a root of an official file with the right checksum.

    Args:
        download: get it from its official address where it is not there. Nothing is downloaded otherwise.
        unverified: take a file with another checksum too, for instance one that was saved again; a warning says so.

    Raises:
        CrossDError: the file is not there (the message says where to get it), is another file, or cannot be had.
    """
    from monai.apps.utils import HashCheckError, download_url

    path = Path(root) / file.name
    where = f"Download it from {file.url} (MD5 {file.md5}, {file.licence}) into {root}"
    if path.is_file():
        found = md5(path)
        if found != file.md5 and not unverified:
            raise CrossDError(
                f"The official {file.name} has MD5 {file.md5}, {path} has {found}. {where} again, or take it as it is "
                "with --unverified."
            )
        if found != file.md5:
            logger.warning("%s is not the official file: its MD5 is %s, not %s.", path, found, file.md5)
        return path
    if not download:
        raise CrossDError(
            f"The official file {file.name} is needed, and {path} does not exist. {where}, or --download."
        )
    try:
        download_url(file.url, path, file.md5, "md5", progress=True)
    except HashCheckError as error:
        raise CrossDError(
            f"The official {file.name} has MD5 {file.md5}, what came from {file.url} has another. Try again later."
        ) from error
    except (URLError, OSError, RuntimeError) as error:
        raise CrossDError(f"{file.name} must be downloaded, {file.url} did not give it ({error}). {where}.") from error
    if not path.is_file():  # MONAI passes over a folder that cannot be written
        raise CrossDError(f"{file.name} must be written, and {root} cannot be. Choose another --root.")
    return path
