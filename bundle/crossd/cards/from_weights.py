"""What a new model's card takes over from the weights that training starts from."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from crossd.bundle import bundle_card, metadata_beside
from crossd.cards.from_tensors import RADIMAGENET, guessed
from crossd.cards.rules import SEGMENTATION, SELF_SUPERVISED
from crossd.checkpoints import Pretrained, read_card, read_checkpoint
from crossd.checkpoints.find_weights import entry_of, weights_path
from crossd.errors import CrossDError
from crossd.networks.classifiers import MONAI_ENCODERS, encoder_arguments

logger = logging.getLogger(__name__)

FROM_SCRATCH: dict[str, Any] = {
    "class_names": [],
    "network": {"depth": 18, "width": 64},
    "input": {
        "channels": ["image"],
        "plane": "axial",
        "spacing": None,
        "roi_size": [64, 64, 64],
        "intensity": {"mode": "percentile", "lower": 0.5, "upper": 99.5},
        "mean": 0.0,
        "std": 1.0,
    },
}
FROM_SCRATCH_2D: dict[str, Any] = {
    **FROM_SCRATCH,
    "input": {
        **FROM_SCRATCH["input"],
        "plane": "acquired",
        "intensity": {"mode": "range"},
        **RADIMAGENET,
    },
}
_CHANNELS = ("spatial_dims", "in_channels", "out_channels", "num_classes")  # these follow from the new data


def is_none(weights: str | None) -> bool:
    """Whether training is to start from random weights, which one has to ask for.

    >>> is_none("none"), is_none(None), is_none("models/model.pt")
    (True, True, False)
    """
    return weights is None or str(weights).lower() == "none"


def base_card(
    weights: str | None, bundle_root: str, spatial_dims: int = 3, pseudo_3d: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """What is known of the input and the network before the labels are read.

    From the card of `weights`; for a checkpoint without a card, depth and width from its tensors, and the normalisation
    of its kind (official Cross-D: RadImageNet's; plain 2D ResNets: ImageNet's; EfficientNet-Lite: 0.5 and 0.5), or what
    the registry of `crossd.pretrained` says of it; for `none`, `FROM_SCRATCH`, or in 2D
    the paper's normalisation. A 2D card gives volumes its intensities and its network, not its window, and not that its
    convolutions were plain. A bundle whose `models/model.pt` is not there yet is
    described by its `configs/metadata.json`, so that its network can be built; loading the weights still fails.
    The window of a model that sees images by Pseudo3D is for such models only.

    Args:
        weights: checkpoint file, name of the registry, or `"none"`.
        spatial_dims: of the network to be trained, 2 or 3.
        pseudo_3d: how it is to see images, where it is a 3D network for images; None: as they are, or volumes.

    Returns:
        `{"class_names", "network", "input", "task"?, "negative_class"?}`.

    Raises:
        CrossDError: when the file is missing or is no checkpoint.
    """
    if is_none(weights):
        return FROM_SCRATCH if spatial_dims == 3 and pseudo_3d is None else FROM_SCRATCH_2D
    if (entry := entry_of(weights)) is not None:
        return _of_registry(entry, weights_path(str(weights)), spatial_dims)
    path = Path(str(weights))
    if not path.is_file():
        card = bundle_card(Path(bundle_root) / "configs" / "metadata.json")
        if card is not None and path.absolute() == Path(bundle_root).absolute() / "models" / "model.pt":
            return _adapted(card, spatial_dims, pseudo_3d)
        raise CrossDError(
            f"weights must be a checkpoint file, got {path}, which is not there. Pass --weights FILE, or --weights "
            "none to train from scratch."
        )
    content = read_checkpoint(path)
    card = card_of(path, content)
    if card:
        return _adapted(_of_classifier(card, path), spatial_dims, pseudo_3d)
    return _guess(path, content["model"])


def card_of(path: str | Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """The card of a checkpoint, in the file or beside it as that of a bundle's model; empty where there is none."""
    path = weights_path(path)
    stands_beside = set(content) == {"model"} and metadata_beside(path).is_file()
    return read_card(path) if content.get("card") is not None or stands_beside else {}


def trained_card(weights: str | None, segments: bool = False) -> dict[str, Any]:
    """The card of a trained model.

    Args:
        segments: whether it has to be one that segments.

    Raises:
        CrossDError: when there is no such file, it has no card, or does not segment though it has to.
    """
    if is_none(weights) or not Path(str(weights)).is_file():
        raise CrossDError(
            f"A trained model is needed, got weights {weights}. Pass --weights FILE, the model.pt of a training run; "
            "to evaluate that run, its --output_dir."
        )
    card = read_card(str(weights))
    if segments and card["task"] != SEGMENTATION:
        raise CrossDError(
            f"A mask needs a model that segments; {weights} is one for {card['task']}. Pass --weights of "
            "a run of configs/train_segmentation.json, or use configs/inference.json."
        )
    return card


def segmentation_base(weights: str | None, bundle_root: str) -> dict[str, Any]:
    """What is known of the input and the network from the weights that training starts from.

    Args:
        weights: a segmentation model of ours, any checkpoint that `crossd.training.base_card` knows (a classifier, a
            self-supervised encoder), the self-supervised encoder of a network of MONAI, or `"none"`.

    Returns:
        `{"class_names", "label_values", "network", "input"}`; the classes are None unless the weights segment.

    Raises:
        CrossDError: when the file is missing or is no checkpoint.
    """
    pretrained = monai_encoder(weights)
    if pretrained is not None:
        return {"class_names": None, "label_values": None, **pretrained}
    card = base_card(weights, bundle_root)
    segments = card.get("task") == SEGMENTATION
    left_out = _CHANNELS if segments else (*_CHANNELS, "name", "convs", "conv", "variant", "dropout")
    encoder = {"encoder": card["network"]["variant"]} if not segments and "variant" in card["network"] else {}
    return {
        "class_names": card["class_names"] if segments else None,
        "label_values": card["label_values"] if segments else None,
        "network": encoder | {key: value for key, value in card["network"].items() if key not in left_out},
        "input": {**card["input"], "roi_size": card["input"]["roi_size"] or FROM_SCRATCH["input"]["roi_size"]},
    }


def monai_encoder(weights: str | None) -> dict[str, Any] | None:
    """What is known from a self-supervised encoder of one of MONAI's networks; None for any other weights.

    Returns:
        `{"network", "input"}`, the network with its name, kind of convolutions and arguments but channels.
    """
    card = {} if is_none(weights) or not Path(str(weights)).is_file() else read_checkpoint(str(weights)).get("card")
    if not card or card.get("task") != SELF_SUPERVISED or card.get("encoder") not in MONAI_ENCODERS:
        return None
    options = {key: value for key, value in card["network"].items() if key not in (*_CHANNELS, "conv")}
    network = {"name": MONAI_ENCODERS[card["encoder"]], "convs": card["network"].get("conv", "plain")}
    return {"network": {**network, **encoder_arguments(card["encoder"], options)}, "input": card["input"]}


def _of_classifier(card: dict[str, Any], path: Path) -> dict[str, Any]:
    """The card as that of a classifier: of a self-supervised encoder's, what a classifier takes over."""
    if card["network"].get("name") == "Ensemble":
        raise CrossDError(
            f"Training starts from one network; {path} is an ensemble of {card['network'].get('count')}. Pass one of "
            "its members, such as fold_0/model.pt beside it."
        )
    if card["task"] != SELF_SUPERVISED:
        return card
    if card.get("encoder") != "crossd":
        raise CrossDError(
            f"Classifiers are trained from the encoder of a CrossDResNet; {path} holds that of {card.get('encoder')}. "
            "Train a segmentation with it (configs/train_segmentation.json), or pre-train with --encoder crossd."
        )
    return {name: value for name, value in card.items() if name not in ("task", "negative_class", "metrics")}


def _adapted(card: Mapping[str, Any], spatial_dims: int, pseudo_3d: Mapping[str, int] | None = None) -> dict[str, Any]:
    """A card for 2D or 3D; of one for the other without what only images, or only volumes, have."""
    network, seen = dict(card["network"]), dict(card["input"])
    of_images = seen.get("pseudo_3d") is not None
    window = {name: FROM_SCRATCH["input"][name] for name in ("plane", "spacing", "roi_size")}
    if of_images != (pseudo_3d is not None):
        seen |= window
    if pseudo_3d is None:
        seen.pop("pseudo_3d", None)
    elif card.get("pseudo_3d"):  # self-supervised on images and volumes: both were measured
        seen |= {name: card["pseudo_3d"][name] for name in ("mean", "std")}
    if network.get("spatial_dims", 3) != spatial_dims:
        network.pop("alignment", None)  # 2D training's `dynamic` is not what volumes start from
        if spatial_dims == 3:
            network.pop("conv", None)  # plain 2D kernels are inflated
        seen |= window
    for name in ("spatial_dims", "in_channels", "num_classes"):
        network.pop(name, None)
    return {**card, "network": network, "input": seen}


def _of_registry(entry: Pretrained, path: Path, spatial_dims: int) -> dict[str, Any]:
    scratch = FROM_SCRATCH if spatial_dims == 3 else FROM_SCRATCH_2D
    logger.info("%s (%s, %s): %s", entry.name, path, entry.licence, entry.normalisation())
    return {**scratch, "network": dict(entry.network), "input": {**scratch["input"], **entry.normalisation()}}


def _guess(path: Path, state: Mapping[str, Tensor]) -> dict[str, Any]:
    layout, network, normalisation = guessed(state)
    network = network if "name" in network else {**FROM_SCRATCH["network"], **network}
    logger.warning(
        "%s (%s) has no card: taken are %s, and %s for intensities in [0, 1]. Change them by --network, --depth, "
        "--width, --mean, --std.",
        path,
        layout,
        network,
        normalisation or "mean 0 and std 1",
    )
    return {**FROM_SCRATCH, "network": network, "input": {**FROM_SCRATCH["input"], **normalisation}}
