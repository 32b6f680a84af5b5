"""What a plan has to know of each case: its grid, its grey values, and whether it is there twice."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from crossd.data.content import content_key
from crossd.data.reading import read_volume
from crossd.data.transforms import OrientPlaned
from crossd.errors import CrossDError
from crossd.files import write_whole

logger = logging.getLogger(__name__)
PERCENTILES = (0.5, 50.0, 99.5)
SAMPLED = 200_000  # voxels whose values are looked at, evenly spaced
COLDEST = -900.0  # air in Hounsfield units, with noise: whole numbers that reach it are those of a CT
FORMAT = 1  # of the facts that are kept


@dataclass(frozen=True)
class CaseFacts:
    """What is known of a case.

    Attributes:
        case: its name.
        error: why it cannot be read; nothing else is known then.
        shape: voxels along (depth, height, width), in the axial plane where the file says where that is.
        spacing: millimetres along them.
        has_affine: whether the file says where its axes run to.
        modality: DICOM's; "CT" where the values are whole and reach down to air; "mask" for two values; else "".
        values: the 0.5th, 50th and 99.5th percentile of the first channel.
        digest: of the voxels; equal where cases are copies.
        warnings: of the reader.
    """

    case: str
    error: str | None = None
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    has_affine: bool = True
    modality: str = ""
    values: tuple[float, ...] = ()
    digest: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def extent(self) -> np.ndarray:
        """Millimetres along (depth, height, width)."""
        return np.multiply(self.shape, self.spacing)


def look(
    cases: Sequence[Mapping[str, Any]], reading: Mapping[str, Any], folder: Path, workers: int = 2
) -> list[CaseFacts]:
    """Look at cases, several at a time; what is found is kept, by the content of the files.

    Args:
        cases: with `case` and `image`, as `crossd.data.find_cases` and `read_labels` give them.
        reading: `series`, `tilt` and `volume`, as `crossd.data.read_volume` takes them.
        folder: keeps what is found, a file a case.
        workers: cases at a time; 0 and 1 are one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = pool.map(lambda case: _kept(case, reading, folder), cases)
        return list(tqdm(found, desc="looking at cases", total=len(cases), disable=not cases))


def _kept(case: Mapping[str, Any], reading: Mapping[str, Any], folder: Path) -> CaseFacts:
    name = str(case["case"])
    if case.get("error"):
        return CaseFacts(name, error=str(case["error"]))
    try:
        key = content_key({"image": case["image"]}, {**reading, "name": name, "format": FORMAT})
        file = folder / f"{key}.json"
        if file.is_file():
            kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            lists = {key: tuple(value) for key, value in kept.items() if isinstance(value, list)}
            return CaseFacts(**{**kept, **lists})
        facts = facts_of(name, case["image"], reading)
    except (CrossDError, OSError) as error:
        return CaseFacts(name, error=str(error))
    write_whole(file, json.dumps(asdict(facts)))
    return facts


def facts_of(name: str, image: Any, reading: Mapping[str, Any]) -> CaseFacts:
    """Read a case and look at it.

    Raises:
        CrossDError: see `crossd.data.read_volume`.
    """
    volume = OrientPlaned("image", "axial")({"image": read_volume(image, **reading)})["image"]
    voxels = volume.as_tensor()[0].numpy()
    flat = voxels.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLED)]
    values = tuple(float(value) for value in np.percentile(sample, PERCENTILES))
    return CaseFacts(
        name,
        shape=tuple(int(size) for size in voxels.shape),
        spacing=tuple(round(float(step), 4) for step in volume.affine[:3, :3].double().norm(dim=0)),
        has_affine=bool(volume.meta.get("has_affine", True)),
        modality=str(volume.meta.get("modality") or _guessed(sample)),
        values=values,
        digest=hashlib.blake2b(np.ascontiguousarray(voxels).tobytes(), digest_size=16).hexdigest(),
        warnings=tuple(str(volume.meta.get("warnings") or "").splitlines()),
    )


def _guessed(sample: np.ndarray) -> str:
    """The modality that values speak of, "" where they speak of none.

    >>> _guessed(np.array([-1024.0, 40.0, 1200.0])), _guessed(np.array([0.0, 255.0, 0.0])), _guessed(np.arange(9.0))
    ('CT', 'mask', '')
    """
    if np.unique(sample).size <= 2:
        return "mask"
    return "CT" if sample.min() <= COLDEST and bool((sample == np.round(sample)).all()) else ""


def copies(facts: Sequence[CaseFacts]) -> list[list[str]]:
    """Names of cases with equal voxels, group by group.

    >>> copies([CaseFacts("a", digest="1"), CaseFacts("b", digest="2"), CaseFacts("c", digest="1")])
    [['a', 'c']]
    """
    groups: dict[str, list[str]] = {}
    for one in facts:
        if one.digest:
            groups.setdefault(one.digest, []).append(one.case)
    return [names for names in groups.values() if len(names) > 1]


def troubles(facts: Sequence[CaseFacts], cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a person should look at before training."""
    found = [f"{one.case} cannot be read: {one.error}" for one in facts if one.error]
    split_of = {case["case"]: case.get("split", "") for case in cases}
    label_of = {case["case"]: case.get("label") for case in cases}
    for group in copies(facts):
        where = sorted({str(split_of[name]) for name in group} - {""})
        leak = f"; they are in {' and '.join(where)}: the test would be of cases seen in training" if where[1:] else ""
        other = "; their labels differ" if len({str(label_of[name]) for name in group}) > 1 else ""
        found.append(f"{', '.join(group)} have equal voxels{leak}{other}")
    read = [one for one in facts if not one.error]
    kinds = {one.modality for one in read}
    if len(kinds) > 1:
        said = ", ".join(f"{sum(one.modality == kind for one in read)} {kind or 'unknown'}" for kind in sorted(kinds))
        found.append(f"the cases are of several modalities: {said}")
    if unplaced := [one.case for one in read if not one.has_affine]:
        found.append(f"{len(unplaced)} files do not say where their axes run to, {unplaced[0]} is the first")
    return found
