"""Volumes of one series that lie in one place, told apart by what their slices say: echo, b-value, time, folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from crossd.data.dicom.slices import Slice, by_position, count_duplicates, is_even, slice_distances

# Numbers that differ from slice to slice and yet order those at one position, the most telling first.
_CLOCKS = ("TriggerTime", "NominalCardiacTriggerDelayTime", "AcquisitionTime")


def split_by_traits(slices: list[Slice]) -> list[tuple[str, list[Slice]]]:
    """Split slices that lie at the same positions by what tells them apart: echo, b-value, time …, or else the folder.

    The trait that leaves the fewest slices at a common position is used, with as few groups as that takes; one that
    makes groups of single slices, as the time of each does, makes no volumes. Where no trait helps, the first slices by
    trigger or acquisition time at each position are a volume, the second ones are, and so on. Volumes that lie between
    one another's slices, as two acquisitions do when the patient moved, have no common positions; a trait splits them
    where it turns an uneven stack into even ones that share their extent.

    Args:
        slices: of one orientation and matrix size.

    Returns:
        What tells a part from the others ("EchoTime 4.92"; empty for the only one), and its slices.
    """
    duplicates = count_duplicates(slices)
    if not duplicates:
        return _interleaved(slices)
    choices: list[tuple[bool, int, int, str, dict[str, list[Slice]]]] = []
    positions = len(slices) - duplicates
    for name, groups in _groupings(slices):
        left = sum(count_duplicates(group) for group in groups.values())
        size = len(slices) / len(groups)
        if left < duplicates and (size > positions / 2 or size >= 2):
            choices.append((size <= positions / 2, left, len(groups), name, groups))
    if choices:  # those whose groups are whole volumes before those that make parts; the most telling of equal ones
        *_, name, groups = min(choices, key=lambda choice: choice[:3])
    elif found := _in_turn(slices):
        name, groups = found
    else:
        return [("", slices)]
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


def _in_turn(slices: Sequence[Slice]) -> tuple[str, dict[str, list[Slice]]] | None:
    """The slices by whether they are the first, second, … in time at their position, if each has as many."""
    places = by_position(slices)
    for name in _CLOCKS:
        try:
            times = [[float(dict(item.traits)[name]) for item in place] for place in places]
        except (KeyError, ValueError):  # not all of them say it
            continue
        if {(len(place), len(set(place))) for place in times} != {(len(places[0]), len(places[0]))}:
            continue
        groups: dict[str, list[Slice]] = {}
        for place, known in zip(places, times, strict=True):
            for turn, index in enumerate(sorted(range(len(place)), key=known.__getitem__), 1):
                groups.setdefault(f"no. {turn}", []).append(place[index])
        return name, groups
    return None


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
