"""Any set of files into DICOM volumes: grouped by series, split where a series holds several, each one sorted.

MONAI's readers take one series of a folder, or interleave all of them; here every series becomes a volume and what
cannot be one is listed with its reason.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from crossd.data.dicom.headers import read_slices
from crossd.data.dicom.non_scans import Label, Rejected, count_kinds
from crossd.data.dicom.selection import SeriesFilter
from crossd.data.dicom.series import Series, stack
from crossd.data.dicom.slices import SAME_POSITION, Slice, count_duplicates, slice_distances
from crossd.data.dicom.traits import ORDER, split_by_traits
from crossd.errors import CrossDError

# Cosines written with three decimals still agree; 0.001 rad displaces the edge of a 500 mm image by 0.25 mm.
_SAME_ORIENTATION = 1e-3
_SHOW_PROGRESS_FROM = 300

logger = logging.getLogger(__name__)


def find_series(
    files: Iterable[str | os.PathLike[str]],
    series: str | int | Sequence[str | int] | None = None,
    localizers: bool = False,
) -> tuple[list[Series], list[Rejected]]:
    """Read headers, group slices into volumes and sort each of them.

    Args:
        files: any files; those that are not DICOM are ignored.
        series: which series are meant, as `crossd.data.dicom.selection.SeriesFilter` has it; None for all. The others
            are left out without a word.
        localizers: whether to make volumes of localizers too; those that the filter names by description or UID are.

    Returns:
        The volumes and what was rejected, each in the order of its paths. What is no scan (localizers, screenshots,
        reports, objects without pixels) is counted by folder and kind.

    Raises:
        CrossDError: a filter that fits nothing, listing what there was.
    """
    wanted = SeriesFilter(series)
    slices, rejected = _read(files, wanted)
    volumes: list[Series] = []
    by_series: dict[tuple[str, str], list[Slice]] = {}
    for item in slices:
        if item.kind and not localizers and not wanted.names(item.label):
            reason = f"{item.known_by}, series {item.label}. To have it classified, choose it by --series."
            rejected.append(Rejected(item.path, reason, item.kind, item.label))
            continue
        # the patient too, since careless anonymisation gives one UID to everybody
        by_series.setdefault((item.patient_id, item.label.uid), []).append(item)
    patients = Counter(uid for _, uid in by_series)
    for (_, uid), group in by_series.items():
        unique, notes = _without_copies(group)
        if patients[uid] > 1:
            notes.append(f"Its SeriesInstanceUID (0020,000E) is that of {patients[uid]} patients, who are kept apart.")
        parts = [
            (", ".join(filter(None, (geometry, traits))), part)
            for geometry, same in _by_geometry(unique)
            for traits, part in split_by_traits(same)
        ]
        for split, part in parts:
            others = [f"This is '{split}', one of {len(parts)} volumes in its series."] if len(parts) > 1 else []
            if f"{ORDER} no. " in split:
                others.append("Nothing but the order of their InstanceNumber (0020,0013) tells some of these apart.")
            try:
                kept, repeats = _without_repeats(part)
                volumes.append(stack(kept, split, [*notes, *others, *repeats]))
            except CrossDError as error:
                rejected.append(Rejected(os.path.dirname(part[0].path), str(error), "", part[0].label))
    volumes.sort(key=lambda item: (item.folder, item.number, item.description, item.uid, item.split))
    return volumes, sorted(count_kinds(rejected), key=lambda item: item.path)


def _read(files: Iterable[str | os.PathLike[str]], wanted: SeriesFilter) -> tuple[list[Slice], list[Rejected]]:
    """Slices of the series that are meant, and files that cannot be slices; damaged ones, which say no series, too."""
    slices: list[Slice] = []
    rejected: list[Rejected] = []
    labels: set[Label] = set()
    paths = [str(file) for file in files]
    none: list[str] = []
    for path, result in zip(paths, _read_headers(paths), strict=True):
        if not result:
            none.append(path)
        found = [result] if isinstance(result, Rejected) else result
        labels.update(item.label for item in found if item.label is not None)
        for item in found:
            if item.label is not None and not wanted.fits(item.label):
                continue
            if isinstance(item, Rejected):
                rejected.append(item)
            else:
                slices.append(item)
    if none:
        logger.info("%d of %d files are no images and left out, for instance '%s'", len(none), len(paths), none[0])
    wanted.check_found(labels)
    if wanted.patterns is not None and labels:
        chosen = sum(map(wanted.fits, labels))
        logger.info("the series filter %s fits %d of %d series", ", ".join(wanted.patterns), chosen, len(labels))
    return slices, rejected


def _read_headers(files: Sequence[str]) -> Iterable[Sequence[Slice] | Rejected]:
    """Headers in the order of the files, read in parallel, with progress where it takes a while."""

    def read(path: str) -> Sequence[Slice] | Rejected:
        try:
            return read_slices(path)
        except CrossDError as error:
            return Rejected(path, str(error))

    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 2)) as pool:
        results: Iterable[Sequence[Slice] | Rejected] = pool.map(read, files)
        if len(files) >= _SHOW_PROGRESS_FROM:
            from tqdm import tqdm

            results = tqdm(results, total=len(files), desc="reading headers", unit="file")
        return list(results)


def _without_copies(slices: Sequence[Slice]) -> tuple[list[Slice], list[str]]:
    """Leave out further copies of one and the same object, as exported disks have them."""
    seen: set[tuple[object, ...]] = set()
    kept: list[Slice] = []
    copies: list[Slice] = []
    for item in slices:
        key = (item.instance_uid or item.path, item.frame, item.position, item.orientation, item.traits)
        (copies if key in seen else kept).append(item)
        seen.add(key)
    if not copies:
        return kept, []
    return kept, [
        f"{len(copies)} slices are there twice (same SOPInstanceUID), for instance '{Path(copies[0].path).name}' in "
        f"'{os.path.dirname(copies[0].path)}': one of each is used."
    ]


def _by_geometry(slices: Sequence[Slice]) -> list[tuple[str, list[Slice]]]:
    """Groups of one orientation, matrix size and pixel spacing, named by what differs."""
    groups: list[list[Slice]] = []
    for item in slices:
        for group in groups:
            other = group[0]
            if (
                _form(item) == _form(other)
                and all(map(_near, item.orientation, other.orientation))
                and all(abs(one - two) <= 1e-3 * two for one, two in zip(item.spacing, other.spacing, strict=True))
            ):
                group.append(item)
                break
        else:
            groups.append([item])
    if len(groups) == 1:
        return [("", groups[0])]
    planes = [("sagittal", "coronal", "axial")[int(np.abs(group[0].normal).argmax())] for group in groups]
    names = [f"{plane} {group[0].columns}×{group[0].rows}" for plane, group in zip(planes, groups, strict=True)]
    numbered = [
        name if names.count(name) == 1 else f"{name} no. {names[: index + 1].count(name)}"
        for index, name in enumerate(names)
    ]
    return list(zip(numbered, groups, strict=True))


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME_ORIENTATION  # two thousand orientations by numpy: half a minute


def _form(item: Slice) -> tuple[object, ...]:
    return item.rows, item.columns, item.frame is None, item.tile is None, item.inverted


def _without_repeats(slices: list[Slice]) -> tuple[list[Slice], list[str]]:
    """Where a few slices were sent again under new numbers, keep the first of each and say so."""
    duplicates = count_duplicates(slices)
    if not duplicates or duplicates > 0.1 * len(slices):  # more than one in ten is another volume, not a repeat
        return slices, []
    kept: list[Slice] = []
    taken: list[float] = []  # in order
    distances, near = slice_distances(slices), SAME_POSITION * min(slices[0].spacing)
    for index in sorted(range(len(slices)), key=lambda index: slices[index].instance_number):
        distance = float(distances[index])
        place = bisect_left(taken, distance)
        if all(abs(other - distance) >= near for other in taken[max(place - 1, 0) : place + 1]):
            taken.insert(place, distance)
            kept.append(slices[index])
    return kept, [
        f"{len(slices) - len(kept)} of {len(slices)} slices lie where another one lies already: the one of the lower "
        "InstanceNumber is used."
    ]
