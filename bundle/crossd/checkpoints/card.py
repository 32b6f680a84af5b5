"""The card of a checkpoint: what its network is for and what it expects to see, as a plain JSON-able dictionary."""

from __future__ import annotations

import json
from typing import Any

from crossd.errors import CrossDError

FORMAT = 1
SELF_SUPERVISED = "self_supervised"  # the task of an encoder: there are no classes, and no rules on them
SEGMENTATION = "segmentation"  # classes of voxels, the background first
TASKS = ("multiclass", "multilabel", SELF_SUPERVISED, SEGMENTATION)
PLANES = ("axial", "coronal", "sagittal", "acquired")
INTENSITIES = ("range", "window", "percentile")


def check_card(card: Any, where: str = "the card") -> dict[str, Any]:
    """Return the card when it keeps the rules.

    Rules: `format` 1; `task` `"multiclass"`, `"multilabel"` or `"self_supervised"`, an encoder whose `class_names` are
    empty and whose `network` has no `num_classes`, or `"segmentation"`, whose `network` has `out_channels` instead and
    whose `label_values` are the values of the classes in masks, the background's 0 first; `class_names`, distinct (two
    or more for multiclass and segmentation);
    `negative_class` an index of them or null; `network`, the keyword arguments of `CrossDResNet`, its `num_classes` and
    `in_channels` in agreement with the names of classes and channels; `input` with `channels`, `plane`, `spacing`
    (millimetres, three numbers or null), `roi_size` (voxels, three), `intensity` (`mode`, and `lower` < `upper` unless
    that is "range"), `mean` and `std` (after scaling to [0, 1]; one number, or one per channel). Further entries are
    kept.

    Args:
        card: anything.
        where: what it was found in, for messages.

    Raises:
        CrossDError: naming the entry, its value and what it should be.
    """

    def rule(entry: str, value: Any, kept: bool, expected: str) -> None:
        if not kept:
            raise CrossDError(
                f"`{entry}` of a checkpoint's card must be {expected}; {where} has {value!r}. Correct it."
            )

    rule("card", card, isinstance(card, dict), "a dictionary")
    rule("format", card.get("format"), card.get("format") == FORMAT, f"{FORMAT}, the only one this version reads")
    task, names = card.get("task"), card.get("class_names")
    rule("task", task, task in TASKS, " or ".join(map(repr, TASKS)))
    fewest = {"multiclass": 2, SEGMENTATION: 2, SELF_SUPERVISED: 0}.get(task, 1)
    distinct = (
        isinstance(names, list) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    )
    rule("class_names", names, distinct and len(names) >= fewest, f"a list of {fewest} or more distinct names")
    negative = card.get("negative_class")
    rule(
        "negative_class", negative, negative is None or negative in range(len(names)), "an index of class_names or null"
    )

    network, seen = card.get("network"), card.get("input")
    rule("network", network, isinstance(network, dict), "the keyword arguments of CrossDResNet")
    outputs = "out_channels" if task == SEGMENTATION else "num_classes"
    classes = network.get(outputs)
    agree = classes is None if task == SELF_SUPERVISED else classes == len(names)
    rule(f"network.{outputs}", classes, agree, f"{len(names)}, the number of class_names")
    if task == SEGMENTATION:
        values = card.get("label_values")
        whole = isinstance(values, list) and all(isinstance(value, int) for value in values)
        kept = whole and len(set(values)) == len(values) == len(names) and values[0] == 0 and min(values) == 0
        rule("label_values", values, kept, f"{len(names)} distinct whole numbers, 0 first")
    rule("input", seen, isinstance(seen, dict), "a dictionary")
    channels, roi, spacing = seen.get("channels"), seen.get("roi_size"), seen.get("spacing")
    rule("input.channels", channels, isinstance(channels, list) and len(channels) > 0, "a list of channel names")
    inputs = network.get("in_channels")
    rule("network.in_channels", inputs, inputs == len(channels), f"{len(channels)}, the number of input.channels")
    rule("input.plane", seen.get("plane"), seen.get("plane") in PLANES, " or ".join(map(repr, PLANES)))
    rule("input.spacing", spacing, spacing is None or _positive(spacing, 3), "three positive numbers (mm) or null")
    whole = _positive(roi, 3) and all(isinstance(size, int) for size in roi)
    rule("input.roi_size", roi, whole, "three positive whole numbers (voxels)")

    intensity = seen.get("intensity")
    rule("input.intensity", intensity, isinstance(intensity, dict), "a dictionary of mode, lower and upper")
    mode, lower, upper = (intensity.get(name) for name in ("mode", "lower", "upper"))
    rule("input.intensity.mode", mode, mode in INTENSITIES, " or ".join(map(repr, INTENSITIES)))
    if mode == "range":
        rule("input.intensity", intensity, lower is None and upper is None, "without lower and upper for mode 'range'")
    else:
        ordered = _is_number(lower) and _is_number(upper) and lower < upper
        rule("input.intensity", intensity, ordered, "two numbers, lower < upper")
    mean, std = seen.get("mean"), seen.get("std")
    per_channel = isinstance(mean, list) and len(mean) == len(channels) and all(map(_is_number, mean))
    rule("input.mean", mean, _is_number(mean) or per_channel, "a number, or one per channel")
    rule(
        "input.std", std, _positive([std], 1) or _positive(std, len(channels)), "positive: a number, or one per channel"
    )
    try:
        json.dumps(card, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CrossDError(
            f"A checkpoint's card must be plain JSON; {where} is not: {error}. Convert that value."
        ) from error
    return card


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _positive(values: Any, count: int) -> bool:
    return isinstance(values, list | tuple) and len(values) == count and all(_is_number(v) and v > 0 for v in values)
