"""Volumes of one series that lie in one place, told apart by what their slices say: echo, b-value, time, folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np

from crossd.data.dicom.slices import (
    SPACING_TOLERANCE,
    Slice,
    by_position,
    count_duplicates,
    is_even,
    slice_distances,
    usual_gap,
)

# Numbers that differ from slice to slice and yet order those at one position, the most telling first.
_CLOCKS = (
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "AcquisitionTime",
    "FrameReferenceDateTime",
    "FrameAcquisitionDateTime",
    "ContentTime",
)
ORDER = "InstanceNumber"  # and the number of the frame: what remains where nothing else tells slices apart
Groups = dict[str, list[Slice]]


def split_by_traits(slices: list[Slice]) -> list[tuple[str, list[Slice]]]:
    """Split slices that lie at the same positions by what tells them apart: echo, b-value, time …, or else the folder.

    The trait that leaves the fewest slices at a common position is used, with as few groups as that takes, if nearly
    all its groups are whole volumes. Where no trait is so, the first slices at each position by trigger or acquisition
    time are a volume, the second ones are, and so on; by their order alone where no time tells them apart. Then traits
    count whose groups are parts, but none that makes groups of single slices. Volumes that lie between one another's
    slices, as two acquisitions do when the patient moved, have no common positions; a trait, or their order, splits
    them where it turns an uneven stack, or one that overlaps by half, into even ones that share their extent.

    Returns:
        What tells a part from the others ("EchoTime 4.92"; empty for the only one), and its slices.
    """
    duplicates = count_duplicates(slices)
    if not duplicates:
        return _interleaved(slices)
    positions = len(slices) - duplicates
    choices: list[tuple[int, int, int, str, Groups]] = []
    for name, groups in _groupings(slices):
        sizes = [len(group) - count_duplicates(group) for group in groups.values()]
        left, size = len(slices) - sum(sizes), len(slices) / len(groups)
        if left < duplicates and (size > positions / 2 or size >= 2):
            whole = sum(size < positions for size in sizes) <= 0.1 * len(groups)
            choices.append((0 if whole else 2 if size > positions / 2 else 3, left, len(groups), name, groups))
    if found := _in_turn(slices, positions):
        choices.append((1, 0, 0, *found))
    if not choices:
        return [("", slices)]
    *_, name, groups = min(choices, key=lambda choice: choice[:3])  # the most telling of equal ones
    return [
        (f"{name} {value}{', ' if inner else ''}{inner}", part)
        for value, group in zip(_differing(list(groups)), groups.values(), strict=True)
        for inner, part in split_by_traits(group)
    ]


def _groupings(slices: Sequence[Slice]) -> Iterator[tuple[str, Groups]]:
    """For each trait the slices by its value, the most telling trait first."""
    traits = [_traits(item) for item in slices]
    for name in dict.fromkeys(name for known in traits for name in known):
        groups: Groups = {}
        for item, known in zip(slices, traits, strict=True):
            groups.setdefault(known.get(name, ""), []).append(item)
        if len(groups) > 1:
            yield name, groups


def _in_turn(slices: Sequence[Slice], positions: int) -> tuple[str, Groups] | None:
    """The slices by whether they are the first, second, … at their position, in time or else in their order."""
    places = by_position(slices)
    for name in (*_CLOCKS, ORDER):
        try:
            times = [[_time(item, name) for item in place] for place in places]
        except (KeyError, ValueError):  # not all of them say it
            continue
        if any(len(set(place)) < len(place) for place in times):
            continue
        if len({len(place) for place in places}) > 1:
            return _cycles(places, positions) if name == ORDER else None
        turns: Groups = {}
        for place, known in zip(places, times, strict=True):
            for turn, index in enumerate(sorted(range(len(place)), key=known.__getitem__), 1):
                turns.setdefault(f"no. {turn}", []).append(place[index])
        return name, turns
    return None


def _cycles(places: Sequence[Sequence[Slice]], positions: int) -> tuple[str, Groups] | None:
    """Volumes one after the other, of which the last was not finished: each begins where a position comes again."""
    found: list[dict[int, Slice]] = [{}]
    numbered = [(item, number) for number, place in enumerate(places) for item in place]
    for item, number in sorted(numbered, key=lambda pair: _order(pair[0])):
        if number in found[-1]:
            found.append({})
        found[-1][number] = item
    if len(found) < 3 or any(len(cycle) < positions for cycle in found[:-1]):
        return None
    cycles: Groups = {f"no. {turn}": list(cycle.values()) for turn, cycle in enumerate(found[:-1], 1)}
    return ORDER, {**cycles, f"no. {len(found)}, {len(found[-1])} of {positions} slices": list(found[-1].values())}


def _time(item: Slice, name: str) -> tuple[float, float]:
    return _order(item) if name == ORDER else (float(dict(item.traits)[name]), 0.0)


def _order(item: Slice) -> tuple[float, float]:
    return item.instance_number, item.frame or 0


def _interleaved(slices: list[Slice]) -> list[tuple[str, list[Slice]]]:
    even = is_even(slices)
    runs = ((name, _runs(slices, name)) for name in (*_CLOCKS, ORDER))
    for name, groups in (*_groupings(slices), *runs):
        parts = list(groups.values())
        if len(parts) < 2 or min(map(len, parts)) < 2 or not all(map(is_even, parts)):
            continue
        if (even or "no. 1" in groups) and not all(map(_covers, parts)):
            continue
        extents = [(float(distances.min()), float(distances.max())) for distances in map(slice_distances, parts)]
        shared = min(high for _, high in extents) - max(low for low, _ in extents)
        if shared > 0.5 * min(high - low for low, high in extents):
            values = _differing(list(groups))
            return [(f"{name} {value}", part) for value, part in zip(values, parts, strict=True)]
    return [("", slices)]


def _covers(part: Sequence[Slice]) -> bool:
    """Whether the slices of one part are as thick as they lie apart, so that those of others are no gaps' filling."""
    gap = usual_gap(np.diff(np.sort(slice_distances(part))))
    return part[0].slab >= (1 - SPACING_TOLERANCE) * gap


def _runs(slices: Sequence[Slice], name: str) -> Groups:
    """The slices by time or in their order, anew where they turn back along the normal; none where it is not known."""
    try:
        times = [_time(item, name) for item in slices]
    except (KeyError, ValueError):
        return {}
    if len(slices) < 4 or len(set(times)) < len(times):
        return {}
    ordered = [slices[index] for index in sorted(range(len(slices)), key=times.__getitem__)]
    ways = np.sign(np.diff(slice_distances(ordered)))
    usual = 1 if ways.sum() > 0 else -1
    runs = np.split(np.arange(len(ordered)), np.flatnonzero(ways != usual) + 1)
    return {f"no. {turn}": [ordered[index] for index in run] for turn, run in enumerate(runs, 1)}


def _differing(values: list[str]) -> list[str]:
    """Values without the parts that they share: `M`, `P` for `ORIGINAL/PRIMARY/M`, `ORIGINAL/PRIMARY/P`."""
    parts = [value.split("/") for value in values]
    if len({len(value) for value in parts}) > 1 or not any(part[:1].isalpha() for value in parts for part in value):
        return [value or "none" for value in values]
    differs = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    return ["/".join(part for part, kept in zip(value, differs, strict=True) if kept) or "none" for value in parts]


def _traits(item: Slice) -> dict[str, str]:
    """What may tell a slice from another one at its place; where it is stored comes last."""
    folder, file = os.path.split(item.path)
    known = {**dict(item.traits), "folder": os.path.basename(folder)}
    return known if item.frame is None and item.tile is None else {**known, "file": file}
