"""Volumes of one series that lie in one place, told apart by what their slices say: echo, b-value, time, folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from crossd.data.dicom.headers import Slice
from crossd.data.dicom.series import count_duplicates, is_even, slice_distances


def split_by_traits(slices: list[Slice]) -> list[tuple[str, list[Slice]]]:
    """Split slices that lie at the same positions by what tells them apart: echo, b-value, time …, or else the folder.

    The trait that leaves the fewest slices at a common position is used, with as few groups as that takes. Volumes that
    lie between one another's slices, as two acquisitions do when the patient moved, have no common positions; a trait
    splits them where it turns an uneven stack into even ones that share their extent.

    Args:
        slices: of one orientation and matrix size.

    Returns:
        What tells a part from the others ("EchoTime 4.92"; empty for the only one), and its slices.
    """
    duplicates = count_duplicates(slices)
    if not duplicates:
        return _interleaved(slices)
    choices: list[tuple[int, int, str, dict[str, list[Slice]]]] = []
    for name, groups in _groupings(slices):
        left = sum(count_duplicates(group) for group in groups.values())
        if left < duplicates and len(groups) > 1:
            choices.append((left, len(groups), name, groups))
    if not choices:
        return [("", slices)]
    _, _, name, groups = min(choices, key=lambda choice: choice[:2])  # the first of equal ones: the most telling
    return [
        (f"{name} {value}{', ' if inner else ''}{inner}", part)
        for value, group in zip(_differing(list(groups)), groups.values(), strict=True)
        for inner, part in split_by_traits(group)
    ]


def _groupings(slices: Sequence[Slice]) -> Iterator[tuple[str, dict[str, list[Slice]]]]:
    """For each trait the slices by its value, the most telling trait first."""
    traits = [_traits(item) for item in slices]
    for name in dict.fromkeys(name for known in traits for name in known):
        groups: dict[str, list[Slice]] = {}
        for item, known in zip(slices, traits, strict=True):
            groups.setdefault(known.get(name, ""), []).append(item)
        yield name, groups


def _interleaved(slices: list[Slice]) -> list[tuple[str, list[Slice]]]:
    if is_even(slices):
        return [("", slices)]
    for name, groups in _groupings(slices):
        parts = list(groups.values())
        if len(parts) < 2 or min(map(len, parts)) < 2 or not all(map(is_even, parts)):
            continue
        extents = [(float(distances.min()), float(distances.max())) for distances in map(slice_distances, parts)]
        shared = min(high for _, high in extents) - max(low for low, _ in extents)
        if shared > 0.5 * min(high - low for low, high in extents):
            values = _differing(list(groups))
            return [(f"{name} {value}", part) for value, part in zip(values, parts, strict=True)]
    return [("", slices)]


def _differing(values: list[str]) -> list[str]:
    """Values without the parts that they share: `M`, `P` for `ORIGINAL/PRIMARY/M`, `ORIGINAL/PRIMARY/P`."""
    parts = [value.split("/") for value in values]
    if len({len(value) for value in parts}) > 1:
        return [value or "none" for value in values]
    differs = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    return ["/".join(part for part, kept in zip(value, differs, strict=True) if kept) or "none" for value in parts]


def _traits(item: Slice) -> dict[str, str]:
    """What may tell a slice from another one at its place; where it is stored comes last."""
    folder, file = os.path.split(item.path)
    return {**dict(item.traits), "folder": os.path.basename(folder), **({} if item.frame is None else {"file": file})}
