"""What is to be read, and a data set of it in which a case that cannot be read does not end the run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monai.data import Dataset, MetaTensor
from torch import Tensor

from crossd.data.content import source_files
from crossd.data.covariate_table import CovariateTable
from crossd.data.dicom.series import Series
from crossd.data.names import unique_names
from crossd.errors import CrossDError
from crossd.texts import printable


@dataclass
class CaseGroup:
    """Cases that pass through the network together.

    Attributes:
        images: of each case `(channel, depth, height, width)`; None for one that could not be prepared.
        answers: of each case what the network says, or what went wrong; None before they are computed.
    """

    images: list[Tensor | None]
    answers: list[Any] | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """A case of a run, read or not.

    Attributes:
        number: its place in the data set, from 0.
        case: what it is called.
        name: for its files; no other case has it.
        key: see `case_key`.
        source: path to show.
        given: the item it was made from, whose further entries ("mask", "patient") belong to the task.
        image: preprocessed, `MetaTensor (channel, depth, height, width)`; None where `error` is not.
        warnings: those of the item and of reading.
        error: why it cannot be read.
        group: what it is computed with, where `CaseLoader` has put it among others; `place` is its place there.

    >>> case = Case(0, "a", "a", "", "/a.nii", {"image": ["/a.nii"]}, error="cut")
    >>> case.sources, case.skipped
    (['/a.nii'], False)
    """

    number: int
    case: str
    name: str
    key: str
    source: str
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)
    image: MetaTensor | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    group: CaseGroup | None = field(default=None, repr=False)
    place: int = 0

    @property
    def sources(self) -> list[Any]:
        """What its channels are read from: paths or `Series`."""
        sources = self.given.get("image") or []
        return list(sources) if isinstance(sources, (list, tuple)) else [sources]

    @property
    def skipped(self) -> bool:
        """Whether it is no scan, so that an error is no failure; see `crossd.data.find_cases`."""
        return bool(self.given.get("skipped"))


class CaseDataset(Dataset):
    """MONAI's `Dataset`, except that items are `Case`s and one whose preprocessing fails says why.

    Args:
        data: items of `crossd.data.find_cases`: dictionaries with "image", and as far as they have them "case",
            "source", "warnings", "error" and "skipped".
        transform: the preprocessing; it turns "image" into a `MetaTensor (channel, depth, height, width)`.
        covariates: gives each item what the model takes beside its image; None: nothing.

    >>> def read(item):
    ...     raise CrossDError(f"{item['image']} is truncated: fetch it again")
    >>> CaseDataset([{"case": "a", "source": "/a.nii.gz", "image": "/a.nii.gz"}], read)[0].error
    '/a.nii.gz is truncated: fetch it again'
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Callable[[dict[str, Any]], Mapping[str, Any]],
        covariates: CovariateTable | None = None,
    ) -> None:
        super().__init__(data if covariates is None else [covariates.of(item) for item in data], transform)
        self._names: list[str] = []

    @property
    def names(self) -> list[str]:
        """A name for the files of each case."""
        if len(self._names) != len(self.data):  # items may be changed before the run
            self._names = unique_names(_called(given, number) for number, given in enumerate(self.data))
        return self._names

    def _transform(self, index: int) -> Case:
        given = self.data[index]
        warnings = [printable(warning) for warning in given.get("warnings") or []]
        image, error = None, given.get("error")
        if error is None:
            try:
                image = self.transform({key: given[key] for key in ("image", "mask") if key in given})["image"]
            except Exception as raised:  # whatever one file holds, the others are done
                error = reason(raised)
        noted = getattr(image, "meta", {}).get("warnings") or []
        noted = noted.splitlines() if isinstance(noted, str) else noted  # `read_volume` writes one line each
        warnings += [warning for warning in map(printable, noted) if warning not in warnings]
        return Case(
            number=index,
            case=printable(_called(given, index)),
            name=self.names[index],
            key=case_key(given),
            source=printable(given.get("source", str(given.get("image")))),
            given=given,
            image=image,
            warnings=tuple(warnings),
            error=None if error is None else printable(error),
        )


def _called(given: Mapping[str, Any], number: int) -> str:
    return str(given.get("case", number))


def collate_cases(items: list[Case]) -> list[Case]:
    """Cases differ in size, so a batch is the list of them."""
    return items


def reason(error: BaseException) -> str:
    """What to tell the user about an exception: our own message, or the first cause with its type, in one line.

    MONAI wraps what a transform raises in a `RuntimeError` that names the transform; what the user needs is underneath.

    >>> try:
    ...     try:
    ...         raise EOFError("Compressed file ended")
    ...     except EOFError as cause:
    ...         raise RuntimeError("applying transform <...>") from cause
    ... except RuntimeError as wrapped:
    ...     reason(wrapped)
    'EOFError: Compressed file ended'
    """
    while not isinstance(error, CrossDError) and error.__cause__ is not None:
        error = error.__cause__
    said = error.args[0] if isinstance(error, CrossDError) and error.args else error  # `str` of it has no line breaks
    text = printable(" ".join(str(said).split()))
    return text if isinstance(error, CrossDError) else f"{type(error).__name__}: {text}"


def case_key(case: Mapping[str, Any]) -> str:
    """A fingerprint of an item of `crossd.data.find_cases`, as 16 hexadecimal digits.

    In it: name, source, why it cannot be read (where it says so), what a table says of it, and path, size and time of
    change of every file, to the nanosecond. Not in it: what the files hold, so that thousands of them take a second.

    >>> case_key({"case": "a", "image": ["/no/a.nii.gz"]}) == case_key({"case": "a", "image": ["/no/b.nii.gz"]})
    False
    """
    image = case.get("image")
    files = [_state(file) for source in (image if isinstance(image, list) else [image]) for file in _files(source)]
    said = [case.get("case"), case.get("source"), case.get("error"), files]
    said += [case["covariates"]] if "covariates" in case else []
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()[:16]


def _files(source: Any) -> list[str]:
    if not isinstance(source, (str, os.PathLike, Series)):
        return []  # an image that is in memory already
    try:
        return source_files(source)
    except (OSError, CrossDError):  # the reader says what is wrong
        return [str(source)]


def _state(path: str) -> list[Any]:
    try:
        found = os.stat(path)
    except OSError:
        return [path]
    return [path, found.st_size, found.st_mtime_ns]
