"""A new model's card, made from what it is trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossd.cards.background import mean_background
from crossd.cards.rules import FORMAT, SEGMENTATION, SELF_SUPERVISED, check_card
from crossd.errors import CrossDError
from crossd.networks import input_arguments
from crossd.version import __version__

MEASURED = 64  # cases of each kind at most


def model_card(
    task: str,
    class_names: Sequence[str],
    network: Mapping[str, Any],
    input: Mapping[str, Any],
    negative_class: str | int | None = None,
    data: str = "",
    target: Mapping[str, float] | None = None,
    **further: Any,
) -> dict[str, Any]:
    """The card of a model to be trained, checked.

    Args:
        task: one of `crossd.cards.rules.TASKS`.
        class_names: in the order of the network's outputs, of a segmentation the background first, of a regression
            what the number is called; none for a self-supervised encoder.
        network: its arguments but the number of channels and classes, which follow, as do `spacing` and `background`
            where it takes them.
        input: as in `crossd.checkpoints.check_card`.
        negative_class: the class that means "absent", by name or index; None where there is none.
        data: what it is trained on, in words.
        target: of a regression, `mean` and `scale` of the numbers it is trained on; None: there are none.
        further: entries that only this task has, such as `label_values`, the value of each class in masks.

    Raises:
        CrossDError: when an entry breaks a rule.

    >>> from crossd.cards.from_weights import FROM_SCRATCH
    >>> card = model_card("multiclass", ["well", "ill"], {"width": 8}, FROM_SCRATCH["input"], "well")
    >>> card["negative_class"], card["network"]
    (0, {'spatial_dims': 3, 'in_channels': 1, 'num_classes': 2, 'width': 8})
    """
    names = list(class_names)
    if isinstance(negative_class, str):
        if negative_class not in names:
            raise CrossDError(
                f"negative_class must be one of {names}, got {negative_class!r}. Correct it or leave it out."
            )
        negative_class = names.index(negative_class)
    outputs = {SELF_SUPERVISED: {}, SEGMENTATION: {"out_channels": len(names)}}
    card = check_card(
        {
            "format": FORMAT,
            "crossd_version": __version__,
            "task": task,
            "class_names": names,
            "negative_class": negative_class,
            "network": {
                "spatial_dims": 3,
                "in_channels": len(input["channels"]),
                **outputs.get(task, {"num_classes": len(names)}),
                **network,
            },
            "input": dict(input),
            **({} if target is None else {"target": dict(target)}),
            **further,
            "data": data,
            "metrics": {},
        },
        "the configuration",
    )
    of_input = {"spacing": input.get("spacing"), "background": mean_background(input)}
    card["network"] = {**input_arguments(network, of_input), **card["network"]}
    return card


def ssl_card(
    encoder: str,
    conv: str | None,
    network: Mapping[str, Any],
    input: Mapping[str, Any],
    sides: Mapping[str, Any],
    windows: Mapping[str, int],
    sources: Sequence[str | Sequence[str] | None],
) -> dict[str, Any]:
    """The card of a pre-trained encoder, checked; there are no classes.

    `input` is what fine-tuning takes over. Its mean and std are measured on the volumes, or, where there are none, on
    the images. What images were shown as is in `pseudo_3d`.

    Args:
        encoder, conv: as for `crossd.ssl.build_encoder`; the card says of convolutions what is not usual there.
        input: channels, plane, spacing, roi_size and intensity.
        sides: by kind, the `crossd.ssl.Side`s whose cases are measured.
        windows: of `crossd.ssl.window_options`.
        sources: what was given as images and as volumes, whose names become `data`.

    Raises:
        CrossDError: when an entry breaks a rule.
    """
    measured = {kind: intensity_statistics(sides[kind].cases) for kind in ("volumes", "images") if kind in sides}
    paths = [path for given in sources if given for path in ([given] if isinstance(given, str) else given)]
    usual = "crossd" if encoder == "crossd" else "plain"
    return model_card(
        SELF_SUPERVISED,
        [],
        network if conv in (None, usual) else {**network, "conv": conv},
        {**input, **next(iter(measured.values()))},
        data=", ".join(Path(str(path)).name for path in paths if str(path).lower() != "none"),
        encoder=encoder,
        pseudo_3d={**windows, **measured["images"]} if "images" in measured else None,
    )


def channel_names(known: Sequence[str], channels: int | None) -> list[str]:
    """Names of the image columns: those of the weights' card where their number fits.

    >>> channel_names(["t1", "t2"], 2), channel_names(["image"], 2), channel_names(["image"], None)
    (['t1', 't2'], ['image_1', 'image_2'], ['image'])
    """
    if channels is None or channels == len(known):
        return list(known)
    return ["image"] if channels == 1 else [f"image_{i + 1}" for i in range(channels)]


def intensity_statistics(cases: Any) -> dict[str, float]:
    """Mean and standard deviation of the grey values of cases in [0, 1].

    Pre-training normalises every view by itself; fine-tuning normalises all by one mean and std. With the mean of the
    cases' means and the root of the mean of their variances the two agree on average.

    Args:
        cases: data set of items with `"image"`, `(channel, …)`; `MEASURED` of them are, evenly spread.

    Returns:
        `{"mean", "std"}`, rounded to four digits.
    """
    chosen = np.unique(np.linspace(0, len(cases) - 1, min(MEASURED, len(cases))).round().astype(int))
    images = [cases[int(index)]["image"].double() for index in chosen]
    mean = float(np.mean([float(image.mean()) for image in images]))
    variance = float(np.mean([float(image.var(unbiased=False)) for image in images]))
    return {"mean": round(mean, 4), "std": max(round(variance**0.5, 4), 1e-4)}
