"""The frozen network of a probe and what it is shown, from 2D weights by name or path: the first part of a card."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor

from crossd.cards.from_data import channel_names
from crossd.cards.from_weights import base_card, card_of, is_none
from crossd.checkpoints import load_pretrained, read_checkpoint
from crossd.checkpoints.find_weights import entry_of, weights_path
from crossd.data import preprocessing
from crossd.errors import CrossDError
from crossd.files import sha256
from crossd.inference import mean_background
from crossd.inference.case_dataset import CaseDataset
from crossd.networks import MultiView, build_classifier
from crossd.options import Options

logger = logging.getLogger(__name__)
LOOKED_AT = 16  # cases whose spacing decides that of all
VIEWS = ("slices", "projections", "volume")
READING = ("series", "tilt", "volume")  # options of what is read
SHOWN = ("plane", "spacing", "intensity", "mean", "std")  # options of the card's input
_SIDE = ("spatial_dims", "in_channels", "num_classes")


@dataclass(frozen=True)
class Frozen:
    """A network whose weights stay as they are.

    Attributes:
        network: in evaluation mode.
        arguments: the `network` of a card, but channels and classes.
        input: the `input` of a card.
        weights: name, or name of the file; SHA-256 of it.
    """

    network: MultiView
    arguments: Mapping[str, Any]
    input: Mapping[str, Any]
    weights: Mapping[str, str]


def frozen_network(
    weights: str | None,
    bundle_root: str,
    cases: Sequence[Mapping[str, Any]],
    given: Mapping[str, Any],
    reading: Mapping[str, Any],
    views: Sequence[str] = VIEWS,
    options: Mapping[str, Any] | None = None,
    fill: str = "mean",
) -> Frozen:
    """Build a `MultiView` with frozen weights, for cases that are seen whole.

    Args:
        weights, bundle_root, views, fill: see `crossd.probe.embed`; checkpoints may be of a `MultiView`.
        cases: to be seen; their number of files is that of channels.
        given: entries of the card's `input` that are to be others than those that belong to the weights; None: those.
            The usual spacing of the cases is taken where none is given.
        reading: series, tilt and volume, as for `crossd.data.preprocessing`.
        options: further arguments of `MultiView`.

    Raises:
        CrossDError: as `crossd.pretrained` and `crossd.load_pretrained`; for options that `MultiView` has not, and
            where no case can be read.
    """
    base = base_card(weights, bundle_root)
    stored, channels = dict(base["network"]), max(len(case["image"]) for case in cases)
    seen = {**base["input"], "roi_size": None, "channels": channel_names(base["input"]["channels"], channels)}
    seen |= {name: value for name, value in given.items() if value is not None}
    seen["spacing"] = given.get("spacing") or usual_spacing(cases, seen, reading)
    if stored.get("name") == "MultiView":
        arguments = {name: value for name, value in stored.items() if name not in _SIDE}
    else:
        inflated = not is_none(weights) and not _has_card(str(weights))
        backbone = {**({"view": "projection"} if inflated and fill != "centre" else {}), **stored}
        arguments = {"name": "MultiView", "backbone": backbone}
    arguments |= {"channels": "differences" if channels > 1 else "mean", "views": list(views)}
    arguments |= {"spacing": seen["spacing"], "background": float(mean_background(seen)), **(options or {})}
    network = build_classifier({**arguments, "spatial_dims": 3, "in_channels": channels, "num_classes": 2})
    assert isinstance(network, MultiView)
    about = {"weights": "none"}
    if not is_none(weights):
        path, known = weights_path(str(weights)), entry_of(weights)
        report = load_pretrained(network, path if known is None else str(weights), fill=fill)
        logger.info("%s\n%s", weights, report)
        about = {"weights": path.name if known is None else known.name, "sha256": sha256(path)}
    return Frozen(network.eval(), arguments, seen, about)


def frozen_of_options(options: Options, bundle_root: str, cases: Sequence[Mapping[str, Any]]) -> Frozen:
    """`frozen_network` as the options of probe.json and distill.json say."""
    rest = options.views, options.network_options, options.fill
    return frozen_network(options.weights, bundle_root, cases, options(*SHOWN), options(*READING), *rest)


def _has_card(weights: str) -> bool:
    """Whether a checkpoint says itself how its kernels are looked at."""
    path = Path(weights)
    return entry_of(weights) is None and path.is_file() and bool(card_of(path, read_checkpoint(path)))


def usual_spacing(
    cases: Sequence[Mapping[str, Any]], card_input: Mapping[str, Any], reading: Mapping[str, Any]
) -> list[float] | None:
    """The median voxel of `LOOKED_AT` cases, millimetres along (depth, height, width); None where none has a place.

    They are spread evenly, and those that cannot be read are passed over.
    """
    look: Callable[[dict[str, Any]], Mapping[str, Any]] = preprocessing({**card_input, "spacing": None}, **reading)
    chosen = np.unique(np.linspace(0, len(cases) - 1, min(LOOKED_AT, len(cases))).round().astype(int))
    dataset = CaseDataset([cases[index] for index in chosen], look)
    images = [case.image for case in (dataset[index] for index in range(len(dataset))) if case.image is not None]
    if not images:
        raise CrossDError(
            f"Some case must be readable, got none of {len(chosen)} that were tried: {dataset[0].error}. Correct "
            "--images."
        )
    known = [_voxel(image) for image in images if image.meta.get("has_affine", True)]
    return None if not known else [float(f"{step:.4g}") for step in np.median(known, axis=0)]


def _voxel(image: MetaTensor) -> np.ndarray:
    return np.asarray(image.affine[:3, :3].double().norm(dim=0).cpu())
