"""Class folders: one folder of volumes for each class, as most people keep their own data.

    root/<class>/…      or, already split,      root/{train,val,test}/<class>/…, in any spelling of `split_called`

Below a class folder everything that the bundle reads counts: NIfTI, NRRD and MetaImage files and DICOM folders, nested
as they are. Nothing is copied.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from crossd.data.cases import find_cases
from crossd.data.names import unique_names
from crossd.data.sets.facts import DatasetFacts, Found, ReleasedCase
from crossd.data.splits import split_folders
from crossd.errors import CrossDError

FACTS = DatasetFacts(
    name="class-folders",
    title="Class folders",
    task="your own: a folder of volumes for each class",
    address="your disk",
    licence="your own",
    class_names=(),
    meaning="the name of the folder",
    get="Put the volumes of each class into a folder with its name: root/<class>/scan.nii.gz.",
    preset="class-folders.yaml",
)


def find_class_folders(
    root: str | os.PathLike[str], output_dir: str | os.PathLike[str], *, patient_pattern: str | None = None
) -> Found:
    """List the volumes of the class folders, in place.

    Args:
        patient_pattern: regular expression that finds the patient in the path below the class folder; its first group,
            or all of it. Example: `(sub-\\d+)`. Without it every volume counts as a patient.
    """
    root = Path(root)
    folders = [folder for folder in sorted(root.glob("*")) if folder.is_dir() and not folder.name.startswith(".")]
    first = [folder.name for folder in folders]
    splits = split_folders(first, first, root)
    classes = [
        (splits.get(folder.name, ""), one)
        for folder in folders
        for one in (sorted(folder.glob("*")) if splits else [folder])
        if one.is_dir() and not one.name.startswith(".")
    ]
    names = sorted({folder.name for _, folder in classes})
    if len(names) < 2:
        raise FACTS.missing(f"two or more folders with volumes (it has {', '.join(names) or 'none'})", root)
    rows: list[tuple[Path, str, str, str]] = []
    alone = "Every volume counts as a patient: where some are of one person, --patient_pattern keeps them in one split."
    notes = [alone] if patient_pattern is None else []
    for split, folder in classes:
        listed = [(Path(_path(item)), item) for item in find_cases(folder)]
        bad = [f"{path.relative_to(root)}: {item['error']}" for path, item in listed if item["error"]]
        notes += [f"Left out: {reason}" for reason in bad]
        for path, item in listed:
            if not item["error"]:
                below = path.relative_to(folder.absolute()).as_posix()
                rows.append((path, folder.name, _patient(below, patient_pattern), split))
    cases = [
        ReleasedCase((path,), label, patient, split, name)
        for (path, label, patient, split), name in zip(
            rows, unique_names(path.relative_to(root.absolute()).as_posix() for path, *_ in rows), strict=True
        )
    ]
    return Found(cases, notes=notes, class_names=tuple(names))


def _path(item: dict) -> str:
    """What a CSV can name: a file, or the folder of a DICOM series that is alone in it."""
    image = item["image"][0]
    if isinstance(image, str):
        return image
    if len(find_cases(image.folder)) > 1:
        raise CrossDError(
            f"A CSV names a DICOM series by its folder, '{image.folder}' holds several. Give each series a folder."
        )
    return str(image.folder)


def _patient(below: str, pattern: str | None) -> str:
    if pattern is None:
        return ""
    try:
        found = re.search(pattern, below)
    except re.error as error:
        raise CrossDError(
            rf"patient_pattern is a regular expression, got {pattern!r} ({error}). Example: '(sub-\d+)'."
        ) from error
    if found is None:
        raise CrossDError(f"patient_pattern must find a patient in every path, {pattern!r} finds none in '{below}'.")
    return found[1] if found.groups() else found[0]
