"""Lung adenocarcinoma: pathology of early lesions in CT volumes of 128³ voxels that are centred on them.

Source: Feng, "CT volume samples for lung adenocarcinoma classification", Mendeley Data, version 2, 2020,
https://doi.org/10.17632/r3tbsgtpzg.2: 1,050 NumPy files (21 AAH, 444 AIS, 585 MIA). A case's class is the word AAH, AIS
or MIA in its path below the root, in a folder's or the file's name, so that it does not matter how the archive is
unpacked. Voxel sizes are not stated: the volumes are written with 1 mm.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from crossd.data.names import unique_names
from crossd.data.sets.array_files import ArrayFiles
from crossd.data.sets.facts import DatasetFacts, Found, PaperRow, ReleasedCase
from crossd.errors import CrossDError

FACTS = DatasetFacts(
    name="lung-adenocarcinoma",
    title="CT volume samples for lung adenocarcinoma classification",
    task="early lung adenocarcinoma, chest CT",
    address="https://doi.org/10.17632/r3tbsgtpzg.2",
    licence="CC BY 4.0",
    class_names=("AAH", "AIS", "MIA"),
    meaning="atypical adenomatous hyperplasia, adenocarcinoma in situ, minimally invasive adenocarcinoma",
    get="Download version 2 from Mendeley Data and unpack it into --root.",
    count=1050,
    preset="lung-adenocarcinoma.yaml",
    paper=PaperRow("V", 1050, (1, 128, 128, 128), (-1450, 3879), 3),
)
_CLASS = re.compile(r"(?<![a-z])(aah|ais|mia)(?![a-z])", re.IGNORECASE)


def find_lung_adenocarcinoma(root: str | os.PathLike[str], output_dir: str | os.PathLike[str]) -> Found:
    """Write every `.npy` below the root, the unpacked archive, as NIfTI `images/<class>_<path>.nii.gz`."""
    root = Path(root)
    paths = sorted(path for path in root.rglob("*.npy") if not path.name.startswith("."))
    if not paths:
        raise FACTS.missing(".npy files whose paths name AAH, AIS or MIA", root)
    files, cases = ArrayFiles(Path(output_dir)), []
    size: tuple[int, ...] = ()
    places = [path.relative_to(root).with_suffix("").as_posix() for path in paths]
    for path, below, name in zip(paths, places, unique_names(places), strict=True):
        found = {match.upper() for match in _CLASS.findall(below)}
        if len(found) != 1:
            raise CrossDError(
                f"The path of a volume names one class of {', '.join(FACTS.class_names)}, got "
                f"{sorted(found) or 'none'} in '{below}'. Put it into a folder with that name."
            )
        volume = _volume(path)
        cases.append(ReleasedCase(files.write_volume(name, volume[None]), found.pop()))
        size = (1, *volume.shape)
    note = (
        "The release names no patients: every volume counts as one, and a patient's lesions may be in several splits."
    )
    return Found(cases, size, files.value_range, [note])


def _volume(path: Path) -> np.ndarray:
    """A volume of a file, mapped, not loaded: `(depth, height, width)`; axes of length 1 are dropped."""
    try:
        volume = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise CrossDError(
            f"A volume is a NumPy array of numbers, '{path}' is not ({error}). Unpack it again."
        ) from error
    volume = volume.squeeze()
    if volume.ndim != 3:
        raise CrossDError(f"A volume has three axes, '{path}' has shape {volume.shape}. Unpack it again.")
    return volume
