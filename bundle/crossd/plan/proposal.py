"""From what is known of the cases to settings of a training, each with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossd.errors import CrossDError
from crossd.plan.case_facts import CaseFacts

STEP = 4  # sides of a window are multiples of it
THICK = 2.0  # slices are thick from so many times the spacing in their plane on
BATCH_VOXELS = 2**21  # of a step's windows together
STEPS = 1500  # of a training
EPOCHS = (20, 200)
FEW = 500  # training cases, below which most of a pre-trained network stays as it is
CT = (-1000.0, 10.0)  # the lowest of a window of Hounsfield units, and to what its bounds are rounded
SIDES = ("left", "right")


@dataclass(frozen=True)
class Setting:
    """An option of `train.json` and why it has this value."""

    name: str
    value: Any
    reason: str


def propose(
    facts: Sequence[CaseFacts], voxels: int, training: int = 0, classes: Sequence[str] = (), weights: str | None = None
) -> list[Setting]:
    """Settings for cases that can be read.

    A window holds the whole volume: labels are of whole scans. Its spacing is the usual one of the cases, coarsened,
    the finest axes first, until the window has no more than `voxels`.

    Args:
        facts: of at least one case that can be read.
        voxels: of a window at most, which time and memory follow.
        training: how many cases are trained on; 0 where nobody knows.
        classes: their names.
        weights: to start from, by name; None to leave that to the command.

    Raises:
        CrossDError: where no case can be read.

    >>> scans = [CaseFacts(name, None, (20, 256, 256), (5.0, 1.0, 1.0), values=(0.0, 9.0, 99.0)) for name in "ab"]
    >>> {setting.name: setting.value for setting in propose(scans, voxels=32**3)}["roi_size"]
    [20, 44, 44]
    """
    read = [one for one in facts if one.error is None]
    if not read:
        raise CrossDError(f"A plan needs a case that can be read, got none of {len(facts)}. Repair them.")
    settings = [_plane(read)]
    order = _AXES[settings[0].value]
    spacings = np.array([one.spacing for one in read])[:, order]
    extents = np.array([one.extent for one in read])[:, order]
    usual = np.median(spacings, 0)
    # what all but a few volumes fit into
    field = np.percentile(extents, 95, axis=0)
    spacing = coarsened(usual, field, voxels)
    roi = [max(STEP, int(-(-size // STEP) * STEP)) for size in np.round(field / spacing)]
    settings += [_spacing(usual, spacing, spacings), _window(roi, spacing, extents), _intensity(read)]
    if weights is not None:
        settings.append(Setting("weights", weights, "real 2D weights to start from"))
        if 0 < training < FEW:
            reason = f"{training} training cases: most of a pre-trained network is better left as it is"
            settings.append(Setting("trainable", "norms", reason))
    batch = int(np.clip(BATCH_VOXELS // int(np.prod(roi)), 2, 16))
    batch = min(batch, training) if training else batch
    settings.append(Setting("batch_size", batch, f"{batch * int(np.prod(roi)):,} voxels in a step"))
    if training:
        steps = -(-training // batch)
        epochs = int(np.clip(-(-STEPS // steps), *EPOCHS))
        settings.append(Setting("epochs", epochs, f"{epochs * steps} steps, {steps} an epoch"))
    if any(side in name.lower() for name in classes for side in SIDES):
        settings.append(Setting("flip_axes", [], "classes that are sides must not be mirrored into one another"))
    return settings


_AXES = {"axial": [0, 1, 2], "coronal": [1, 0, 2], "sagittal": [2, 0, 1]}


def _plane(read: Sequence[CaseFacts]) -> Setting:
    """The plane that most volumes were scanned in, where slices are thick."""
    names = {0: "axial", 1: "coronal", 2: "sagittal"}
    across = [
        names[int(np.argmax(one.spacing))] if max(one.spacing) >= THICK * min(one.spacing) else "" for one in read
    ]
    usual, count = Counter(across).most_common(1)[0]
    if usual and count > len(read) / 2:
        return Setting("plane", usual, f"{count} of {len(read)} volumes have thick slices in this plane")
    return Setting("plane", "axial", "slices are thin, or of no one plane: the usual one")


def coarsened(spacing: np.ndarray, field: np.ndarray, voxels: int) -> np.ndarray:
    """The least spacing, from one on, with which a field of view has no more than so many voxels.

    The finest axes become coarser first, so that thick slices stay what they are as long as possible.

    >>> coarsened(np.array([5.0, 1.0, 1.0]), np.array([100.0, 256.0, 256.0]), 32**3).round(2).tolist()
    [5.85, 5.85, 5.85]
    """
    low, high = float(spacing.min()), float(field.max())
    for _ in range(60):
        middle = (low + high) / 2
        fits = np.prod(np.maximum(1, field / np.maximum(spacing, middle))) <= voxels
        low, high = (low, middle) if fits else (middle, high)
    fine = np.prod(np.maximum(1, field / spacing)) <= voxels
    return spacing if fine else np.maximum(spacing, high)


def _spacing(usual: np.ndarray, spacing: np.ndarray, found: np.ndarray) -> Setting:
    value = [round(float(step), 3) for step in spacing]
    differ = "all cases have it" if np.allclose(found, usual, rtol=0.01) else "the median of the cases"
    if np.allclose(usual, spacing):
        return Setting("spacing", value, differ)
    was = " × ".join(f"{step:.3g}" for step in usual)
    times = float(np.max(spacing / usual))
    reason = f"coarser than the cases' {was} mm, up to {times:.1f} times, so that a window holds a volume"
    return Setting("spacing", value, reason)


def _window(roi: Sequence[int], spacing: np.ndarray, extents: np.ndarray) -> Setting:
    shares = np.prod(np.minimum(1, np.multiply(roi, spacing) / extents), axis=1)
    whole = int((shares > 0.999).sum())
    reason = f"holds {whole} of {len(shares)} volumes whole, and {shares.min():.0%} of the largest"
    return Setting("roi_size", list(roi), reason)


def _intensity(read: Sequence[CaseFacts]) -> Setting:
    kinds = Counter(one.modality for one in read)
    modality, count = kinds.most_common(1)[0]
    values = np.array([one.values for one in read])
    if modality == "mask":
        return Setting("intensity", {"mode": "range"}, f"{count} of {len(read)} volumes have two values")
    if modality == "CT":
        lower = max(CT[0], float(np.floor(values[:, 0].min() / CT[1]) * CT[1]))
        upper = float(np.ceil(np.median(values[:, -1]) / CT[1]) * CT[1])
        reason = f"{count} of {len(read)} volumes are CT: Hounsfield units mean the same everywhere"
        return Setting("intensity", {"mode": "window", "lower": lower, "upper": upper}, reason)
    reason = f"{modality or 'unknown'} values have no unit: each volume by its own percentiles"
    return Setting("intensity", {"mode": "percentile", "lower": 0.5, "upper": 99.5}, reason)


def misfits(card_input: Mapping[str, Any], settings: Sequence[Setting]) -> list[str]:
    """What of a card's input is not made for cases that settings were proposed for; empty where it fits.

    >>> proposed = [Setting("spacing", [1.0, 1.0, 1.0], ""), Setting("roi_size", [300, 300, 300], "")]
    >>> proposed.append(Setting("intensity", {"mode": "window"}, ""))
    >>> misfits({"spacing": [1, 1, 1], "roi_size": [64, 64, 64], "intensity": {"mode": "range"}}, proposed)
    ['its window covers 1 % of a volume', 'its intensities are scaled by range, not by window']
    """
    of = {setting.name: setting.value for setting in settings}
    spacing = np.array(card_input["spacing"] or of["spacing"])
    field = np.multiply(of["roi_size"], of["spacing"])
    share = float(np.prod(np.minimum(1, np.multiply(card_input["roi_size"], spacing) / field)))
    used = float(np.prod(np.minimum(1, field / np.multiply(card_input["roi_size"], spacing))))
    found = []
    if share < 0.5:
        found.append(f"its window covers {share:.0%} of a volume".replace("%", " %"))
    if used < 0.1:
        found.append(f"a volume fills {used:.0%} of its window".replace("%", " %"))
    mode, wanted = card_input["intensity"]["mode"], of["intensity"]["mode"]
    if mode != wanted:
        found.append(f"its intensities are scaled by {mode}, not by {wanted}")
    return found
