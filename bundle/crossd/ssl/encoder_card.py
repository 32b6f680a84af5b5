"""The card of a pre-trained encoder: what it is, what it has seen, and which intensities it expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossd.cards.from_data import intensity_statistics, new_card
from crossd.cards.rules import SELF_SUPERVISED
from crossd.ssl.encoders import default_conv


def ssl_card(
    encoder: str,
    conv: str | None,
    network: Mapping[str, Any],
    input: Mapping[str, Any],
    sides: Mapping[str, Any],
    windows: Mapping[str, int],
    sources: Sequence[str | Sequence[str] | None],
) -> dict[str, Any]:
    """The card of `model.pt`, checked; `task` is `"self_supervised"`, and there are no classes.

    `input` is what fine-tuning takes over. Its mean and std are measured on the volumes, or, where there are none, on
    the images. What images were shown as is in `pseudo_3d`.

    Args:
        encoder: a name of `ENCODERS`.
        conv: as for `build_encoder`.
        network: its options.
        input: channels, plane, spacing, roi_size and intensity.
        sides: by kind, the `Side`s whose cases are measured.
        windows: of `window_options`.
        sources: what was given as images and as volumes, whose names become `data`.

    Raises:
        CrossDError: when an entry breaks a rule.
    """
    measured = {kind: intensity_statistics(sides[kind].cases) for kind in ("volumes", "images") if kind in sides}
    names = [
        Path(str(path)).name
        for given in sources
        if given
        for path in ([given] if isinstance(given, str) else given)
        if str(path).lower() != "none"
    ]
    options = dict(network)
    if (conv or default_conv(encoder)) != "crossd" and encoder == "crossd":
        options["conv"] = "plain"
    elif conv == "crossd" and encoder != "crossd":
        options["conv"] = "crossd"
    return new_card(
        SELF_SUPERVISED,
        [],
        options,
        {**input, **next(iter(measured.values()))},
        data=", ".join(names),
        encoder=encoder,
        pseudo_3d={**windows, **measured["images"]} if "images" in measured else None,
    )
