"""What a MetaImage header says twice of its axes, and differently."""

from __future__ import annotations

import re

import numpy as np

from crossd.data.text_headers import TextHeader

_UNIT = 0.01  # by which directions of rounded cosines may be longer or shorter than 1
_FROM = ("RL", "AP", "IS")  # where an axis begins that runs along +x, −x; +y, −y; +z, −z of LPS


def matrix_disagreements(text: TextHeader, matrix: np.ndarray) -> list[str]:
    """What to tell of directions that are no unit vectors, and of an orientation in letters that is not theirs.

    Args:
        text: the header.
        matrix: its `TransformMatrix`, directions in columns.

    >>> header = TextHeader("a.mha", "MetaImage", {"transformmatrix": "", "anatomicalorientation": "LPI"}, (), 0)
    >>> matrix_disagreements(header, np.eye(3))
    ['The file states two orientations: `AnatomicalOrientation` is LPI, and `TransformMatrix` RAI, which is used, ...']
    """
    told = []
    lengths = np.linalg.norm(matrix, axis=0)
    if np.abs(lengths - 1).max() > _UNIT:
        said = " × ".join(f"{length:.4g}" for length in lengths)
        told.append(
            f"The file states two spacings: the directions of `TransformMatrix`, which should be 1 long, are {said}. "
            "They are multiplied by `ElementSpacing`, as in ITK."
        )
    longest = np.abs(matrix).argmax(axis=0)
    code = "".join(_FROM[k][int(matrix[k, axis] < 0)] for axis, k in enumerate(longest))
    other = text.fields.get("anatomicalorientation", "???").upper()
    if "transformmatrix" in text.fields and re.fullmatch("[RLAPIS]{3}", other) and other != code:
        told.append(
            f"The file states two orientations: `AnatomicalOrientation` is {other}, and `TransformMatrix` {code}, "
            "which is used, as in ITK."
        )
    return told
