"""The card of a checkpoint: what its network is for and what it expects to see, as a plain JSON-able dictionary."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from crossd.cards.covariates import check_covariates
from crossd.cards.isotonic import check_isotonic
from crossd.cards.operating_point import check_operating_point
from crossd.cards.scope_entry import check_scope
from crossd.cards.tasks import CLASSIFICATION, REGRESSION
from crossd.cards.tasks import TASKS as OF_VOLUMES
from crossd.errors import CrossDError

FORMAT = 1
SELF_SUPERVISED = "self_supervised"  # the task of an encoder: there are no classes, and no rules on them
SEGMENTATION = "segmentation"  # classes of voxels, the background first
TASKS = (*CLASSIFICATION, SELF_SUPERVISED, SEGMENTATION, REGRESSION)
PLANES = ("axial", "coronal", "sagittal", "acquired")
INTENSITIES = ("range", "window", "percentile")
_FEWEST = {**{name: task.fewest for name, task in OF_VOLUMES.items()}, SEGMENTATION: 2, SELF_SUPERVISED: 0}
_TEXTS = ("crossd_version", "data", "encoder", "intended_use")
_NETWORK_SIZES = ("depth", "width", "conv1_t_size", "conv1_t_stride")
_NETWORK_TEXTS = ("motion", "view", "alignment", "conv", "convs", "name")
_LARGEST = 3.4e38  # of float32, in which networks compute; NaN is no number either
_Rule = Callable[[str, Any, bool, str], None]


def check_card(card: Any, where: str = "the card") -> dict[str, Any]:
    """Return the card when it keeps the rules.

    Rules: `format` 1; `task` `"multiclass"`, `"multilabel"`, `"ordinal"`, whose class names are grades, three or more
    and the lowest first, `"regression"`, whose one class name is what the number is
    called and whose `target` has its `mean` and `scale` in training, `"self_supervised"`, an encoder whose
    `class_names` are empty and whose `network` has no `num_classes`, or `"segmentation"`, whose `network` has
    `out_channels` instead and whose `label_values` are the values of the classes in masks, the background's 0 first;
    `class_names`, distinct (two or more for multiclass and segmentation); `negative_class` an index of them or null;
    `network`, the keyword arguments of a network, `CrossDResNet` unless it has a `name`, its `num_classes` and
    `in_channels` in agreement with the names of classes and channels; `input` with `channels`, `plane`, `spacing`
    (millimetres, three numbers or null), `roi_size` (voxels, three; of a classifier null too, the whole volume),
    `intensity` (`mode`, and `lower` < `upper` unless that is "range"), `mean` and `std` (after scaling to [0, 1]; one
    number, or one per channel). Where they are there, `crossd_version`, `data`, `encoder` and `intended_use` are texts,
    `metrics`, `calibration` and `pseudo_3d` (here and in `input`) dictionaries of numbers, `finding_codes` lists of
    three texts by class, and `scope`, `operating_point`, `covariates` and `isotonic` what `Scope`,
    `OperatingPoint`, `Covariates` and `Isotonic` of the modules of these names in `crossd.cards` write; of a
    classifier's `network`, `depth`, `width` and the stem's size and stride are positive whole numbers, and `motion`,
    `view` and `conv` are texts. Further entries are kept.

    Args:
        where: what it was found in, for messages.

    Raises:
        CrossDError: naming the entry, its value and what it should be.
    """
    rule: _Rule = partial(_keep, where)
    rule("card", card, isinstance(card, dict), "a dictionary")
    version = card.get("format")
    rule("format", version, _is_whole(version, FORMAT), f"{FORMAT}, the only one this version reads")
    _check_classes(card, rule)
    _check_network(card, rule)
    _check_input(card["input"], rule, card["task"] in OF_VOLUMES)
    _check_further(card, rule)
    try:
        json.loads(json.dumps(card, allow_nan=False), parse_int=lambda digits: float(int(digits)))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise CrossDError(
            f"A checkpoint's card must be plain JSON; {where} is not: {error}. Convert that value."
        ) from error
    return card


def _keep(where: str, entry: str, value: Any, kept: bool, expected: str) -> None:
    if not kept:
        raise CrossDError(
            f"`{entry}` of a checkpoint's card must be {expected}; {where} has {_shown(value)}. Correct it."
        )


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:  # of a whole number with thousands of digits, say
        text = f"a {type(value).__name__} that cannot be written ({type(error).__name__})"
    return text if len(text) <= 500 else f"{text[:500]}…"


def _check_classes(card: Any, rule: _Rule) -> None:
    task, names, negative = card.get("task"), card.get("class_names"), card.get("negative_class")
    rule("task", task, isinstance(task, str) and task in TASKS, " or ".join(map(repr, TASKS)))
    fewest = _FEWEST[task]
    distinct = _are_texts(names) and len(set(names)) == len(names) >= fewest
    rule("class_names", names, distinct, f"a list of {fewest} or more distinct names")
    if task == REGRESSION:
        _check_target(card, rule)
    known = negative is None or (_is_whole(negative) and 0 <= negative < len(names))
    rule("negative_class", negative, known, "an index of class_names or null")
    if task == SEGMENTATION:
        values = card.get("label_values")
        kept = isinstance(values, list) and len(values) == len(names) and all(map(_is_whole, values))
        kept = kept and len(set(values)) == len(values) and values[0] == min(values) == 0
        rule("label_values", values, kept, f"{len(names)} distinct whole numbers, 0 first")


def _check_target(card: Any, rule: _Rule) -> None:
    """Of a regression: one name, no class that means nothing found, and what the target was like in training."""
    names, negative, target = card["class_names"], card.get("negative_class"), card.get("target")
    rule("class_names", names, len(names) == 1, "the one name of the number that a regression predicts")
    rule("negative_class", negative, negative is None, "null, for a regression has no classes")
    rule("target", target, isinstance(target, dict), "a dictionary of mean and scale, for a regression")
    rule("target.mean", target.get("mean"), _is_number(target.get("mean")), "a number")
    rule("target.scale", target.get("scale"), _positive([target.get("scale")], 1), "a positive number")


def _check_network(card: Any, rule: _Rule) -> None:
    network, seen = card.get("network"), card.get("input")
    rule("network", network, isinstance(network, dict), "the keyword arguments of a network")
    texts = all(isinstance(name, str) for name in network)
    rule("network", network, texts, "the keyword arguments of a network, by name")
    outputs, names = "out_channels" if card["task"] == SEGMENTATION else "num_classes", card["class_names"]
    classes = network.get(outputs)
    agree = classes is None if card["task"] == SELF_SUPERVISED else _is_whole(classes, len(names))
    rule(f"network.{outputs}", classes, agree, f"{len(names)}, the number of class_names")
    dims = network.get("spatial_dims", 3)
    rule("network.spatial_dims", dims, _is_whole(dims) and dims in (2, 3), "2 or 3")
    for name in _NETWORK_TEXTS:
        rule(f"network.{name}", network.get(name), isinstance(network.get(name, ""), str), "a text")
    for name in _NETWORK_SIZES if card["task"] in OF_VOLUMES and "name" not in network else ():
        value = network.get(name, 1)
        rule(f"network.{name}", value, _is_whole(value) and value > 0, "a positive whole number")
    rule("input", seen, isinstance(seen, dict), "a dictionary")
    channels, inputs = seen.get("channels"), network.get("in_channels")
    rule("input.channels", channels, _are_texts(channels) and len(channels) > 0, "a list of channel names")
    agree = _is_whole(inputs, len(channels))
    rule("network.in_channels", inputs, agree, f"{len(channels)}, the number of input.channels")


def _check_input(seen: Any, rule: _Rule, classifies: bool) -> None:
    channels, roi, spacing = seen["channels"], seen.get("roi_size"), seen.get("spacing")
    plane = seen.get("plane")
    rule("input.plane", plane, isinstance(plane, str) and plane in PLANES, " or ".join(map(repr, PLANES)))
    rule("input.spacing", spacing, spacing is None or _positive(spacing, 3), "three positive numbers (mm) or null")
    sizes = _positive(roi, 3) and all(map(_is_whole, roi))
    whole_volume = classifies and roi is None and "roi_size" in seen
    kinds = "three positive whole numbers (voxels)" + (", or null for the whole volume" if classifies else "")
    rule("input.roi_size", roi, sizes or whole_volume, kinds)
    intensity = seen.get("intensity")
    rule("input.intensity", intensity, isinstance(intensity, dict), "a dictionary of mode, lower and upper")
    mode, lower, upper = (intensity.get(name) for name in ("mode", "lower", "upper"))
    rule(
        "input.intensity.mode", mode, isinstance(mode, str) and mode in INTENSITIES, " or ".join(map(repr, INTENSITIES))
    )
    if mode == "range":
        rule("input.intensity", intensity, lower is None and upper is None, "without lower and upper for mode 'range'")
    else:
        ordered = _is_number(lower) and _is_number(upper) and lower < upper
        rule("input.intensity", intensity, ordered, "two numbers, lower < upper")
    mean, std = seen.get("mean"), seen.get("std")
    per_channel = isinstance(mean, list) and len(mean) == len(channels) and all(map(_is_number, mean))
    rule("input.mean", mean, _is_number(mean) or per_channel, "a number, or one per channel")
    positive = _positive([std], 1) or _positive(std, len(channels))
    rule("input.std", std, positive, "positive: a number, or one per channel")


def _check_further(card: Any, rule: _Rule) -> None:
    """What need not be there."""
    for name in _TEXTS:
        rule(name, card.get(name), isinstance(card.get(name, ""), str | None), "a text")
    for name, value in (
        ("metrics", card.get("metrics")),
        ("calibration", card.get("calibration")),
        ("pseudo_3d", card.get("pseudo_3d")),
        ("input.pseudo_3d", card["input"].get("pseudo_3d")),
    ):
        kept = value is None or _are_figures(value)
        rule(name, value, kept, "a dictionary of numbers by name")
    codes = card.get("finding_codes")
    kept = codes is None or (isinstance(codes, dict) and all(map(_is_code, codes.values())))
    rule("finding_codes", codes, kept, "[code value, coding scheme, meaning] by class")
    if card.get("scope") is not None:
        check_scope(card["scope"], rule)
    if card.get("covariates") is not None:
        check_covariates(card["covariates"], len(card["class_names"]), rule)
    if card.get("isotonic") is not None:
        check_isotonic(card["isotonic"], card["class_names"], rule)
    if card.get("operating_point") is not None:
        check_operating_point(card["operating_point"], card["class_names"], rule)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _are_figures(values: Any) -> bool:
    """Numbers by name, or lists and dictionaries of numbers."""
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        return False
    parts = [list(one.values()) if isinstance(one, dict) else one for one in values.values()]
    return all(one is None or _is_number(one) for part in parts for one in (part if isinstance(part, list) else [part]))


def _is_whole(value: Any, expected: int | None = None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and expected in (None, value)


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _is_code(value: Any) -> bool:
    texts = isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(one, str) for one in value)
    return value is None or texts


def _positive(values: Any, count: int) -> bool:
    return isinstance(values, list | tuple) and len(values) == count and all(_is_number(v) and v > 0 for v in values)
