"""How slices lie along their normal: at one place, evenly, or with gaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossd.data.dicom.headers import Slice

# Two slices nearer than this fraction of a pixel are at one position: decimal strings round to far less.
SAME_POSITION = 0.01
# Positions exported with one decimal vary by 0.1 mm, a fifth of the thinnest usual slices; a missing slice adds 100 %.
SPACING_TOLERANCE = 0.2


def slice_distances(slices: Sequence[Slice]) -> np.ndarray:
    """Position of each slice along the common normal, in millimetres."""
    return np.array([item.position for item in slices]) @ slices[0].normal


def by_position(slices: Sequence[Slice]) -> list[list[Slice]]:
    """The slices that lie at each position, the positions in order; what lies at one of them stays in its order."""
    distances = slice_distances(slices)
    order = np.argsort(distances, kind="stable")
    apart = np.diff(distances[order]) >= SAME_POSITION * min(slices[0].spacing)
    groups = np.split(order, np.flatnonzero(apart) + 1)
    return [[slices[index] for index in sorted(group)] for group in groups]


def count_duplicates(slices: Sequence[Slice]) -> int:
    """How many slices lie at the position of another one."""
    distances = np.sort(slice_distances(slices))
    return int((np.diff(distances) < SAME_POSITION * min(slices[0].spacing)).sum())


def is_even(slices: Sequence[Slice]) -> bool:
    """Whether the distances between neighbours are equal within the tolerance."""
    gaps = np.diff(np.sort(slice_distances(slices)))
    return len(uneven(gaps)) == 0


def uneven(gaps: np.ndarray) -> np.ndarray:
    """Numbers of the gaps that differ from the usual one."""
    usual = usual_gap(gaps)
    return np.flatnonzero(np.abs(gaps - usual) > SPACING_TOLERANCE * usual + 1e-6)


def usual_gap(gaps: np.ndarray) -> float:
    """The median; of an even number of gaps the smaller of the two in the middle, so that a gap is not the rule.

    >>> usual_gap(np.array([3.0, 3.0, 6.0, 6.0]))
    3.0
    """
    return float(np.percentile(gaps, 50, method="lower")) if len(gaps) else 0.0
