"""Which network a name means: classifiers, and MONAI's networks whose encoders are pre-trained."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, TypeAlias

from crossd.conv.factory import LAYER_OPTIONS
from crossd.errors import CrossDError, one_of
from crossd.networks.efficientnet_lite import VARIANTS, CrossDEfficientNetLite, LiteFeatureMaps, PlainEfficientNetLite
from crossd.networks.resnet import CrossDResNet, FeatureMaps, PlainResNet

Classifier: TypeAlias = FeatureMaps | LiteFeatureMaps
CLASSIFIERS: dict[str, dict[str, type[FeatureMaps] | type[LiteFeatureMaps]]] = {
    "CrossDResNet": {"crossd": CrossDResNet, "plain": PlainResNet},
    "CrossDEfficientNetLite": {"crossd": CrossDEfficientNetLite, "plain": PlainEfficientNetLite},
}
"""By the `name` of a card's network, and its `conv`; `MultiView` and `Ensemble` join them in `crossd.networks`."""
USUAL = "CrossDResNet"  # what a card without a name means
OF_INPUT = ("spacing", "background")  # arguments that say what volumes look like, as the card's input does
MONAI_ENCODERS = {"segresnet": "SegResNet", "unet": "UNet", "swinunetr": "SwinUNETR"}
"""Class of `monai.networks.nets` by the name that `--encoder` takes."""
_WIDTH = {"segresnet": ("init_filters", 8), "swinunetr": ("feature_size", 24)}  # argument that width is, and default


def build_classifier(arguments: Mapping[str, Any]) -> Classifier:
    """Build the network of a card, with random weights.

    Args:
        arguments: of its class, and `name`, of `CLASSIFIERS` (absent: `CrossDResNet`), and `conv`, "crossd" (absent) or
            "plain".

    Raises:
        CrossDError: for another name or conv, or arguments that the class does not take.

    >>> arguments = {"name": "CrossDEfficientNetLite", "spatial_dims": 3, "in_channels": 1, "num_classes": 2}
    >>> build_classifier(arguments).fc
    Linear(in_features=1280, out_features=2, bias=True)
    """
    rest = dict(arguments)
    convs = CLASSIFIERS[one_of("network.name", rest.pop("name", USUAL), CLASSIFIERS)]
    conv = one_of("conv", rest.pop("conv", "crossd"), convs)
    kind = convs[conv]
    takes = [name for name in signature(kind).parameters if name != "layer_options"]
    takes += LAYER_OPTIONS if conv == "crossd" else ()
    unknown = [name for name in rest if name not in takes]
    if unknown:
        raise CrossDError(
            f"{kind.__name__} takes {', '.join(takes)}; got {', '.join(unknown)}. Leave these out of options and "
            "--network_options, or correct the card."
        )
    try:
        return kind(**rest)
    except TypeError as error:
        raise CrossDError(
            f"A network takes the arguments of its class, got {rest} for {kind.__name__} ({error}). Correct "
            "--network_options or the card, or write the checkpoint again with this version of crossd."
        ) from error


def classifier_arguments(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The `network` of a new card but its channels and classes.

    `MultiView` has the network of other weights as its backbone, at `view="projection"` unless that says otherwise.
    Its `OF_INPUT` are not taken over from `base`, whose volumes may be other ones.

    Args:
        base: that of the weights that training starts from.
        given: `network`: `CrossDResNet`, `CrossDEfficientNetLite`, or a variant of this, `lite0` or
            `efficientnet-lite0` and so on; `network_options`, which come last; and arguments with an option of their
            own, such as `depth`. None, or absent: as in `base`.

    Raises:
        CrossDError: for another network.

    >>> classifier_arguments({"depth": 10, "width": 8, "motion": "rotate"}, {"network": None, "width": 16})
    {'depth': 10, 'width': 16, 'motion': 'rotate'}
    >>> classifier_arguments({"depth": 10, "width": 8}, {"network": "lite1", "network_options": {"dropout": 0.5}})
    {'name': 'CrossDEfficientNetLite', 'variant': 'lite1', 'dropout': 0.5}
    """
    own = {name: value for name, value in given.items() if value is not None}
    options, network = own.pop("network_options", {}), own.pop("network", None)
    chosen = {} if network is None else _named(network)
    kept: Mapping[str, Any] = {}
    if network is None or chosen.get("name", USUAL) == base.get("name", USUAL):
        kept = {name: value for name, value in base.items() if name not in OF_INPUT}
    elif chosen.get("name") == "MultiView":
        kept = {"backbone": {"view": "projection", **base}}
    return {**kept, **chosen, **own, **options}


def input_arguments(network: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `OF_INPUT` that the network of a card takes, and that have a value.

    >>> input_arguments({"name": "CrossDEfficientNetLite"}, {"spacing": [5, 1, 1], "background": -1.0})
    {}
    """
    kind = CLASSIFIERS.get(network.get("name", USUAL), {}).get(network.get("conv", "crossd"))
    takes = () if kind is None else signature(kind).parameters
    return {name: values[name] for name in OF_INPUT if name in takes and values[name] is not None}


def _named(network: str) -> dict[str, Any]:
    """`name` unless it is the usual one, and `variant` where the text says one."""
    known: dict[str, dict[str, Any]] = {name: {} if name == USUAL else {"name": name} for name in CLASSIFIERS}
    for variant in VARIANTS:
        of_lite = {"name": "CrossDEfficientNetLite", "variant": variant}
        known |= {variant: of_lite, f"efficientnet-{variant}": of_lite}
    same = {name.lower(): name for name in known}
    return known[one_of("network", same.get(str(network).lower(), network), known)]


def encoder_arguments(encoder: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the whole network, but dimensions and channels in and out.

    Args:
        encoder: of `MONAI_ENCODERS`.
        options: of the pre-training: `width`, channels of the finest level, and any argument of the class. UNets have
            five levels, each twice as wide as the one above, strides of 2 and batch norms unless these say otherwise.

    >>> encoder_arguments("segresnet", {"width": 4, "blocks_down": [1, 1]})
    {'init_filters': 4, 'blocks_down': [1, 1]}
    >>> encoder_arguments("unet", {"width": 4, "norm": "instance"})
    {'channels': [4, 8, 16, 32, 64], 'norm': 'instance', 'strides': [2, 2, 2, 2]}
    """
    one_of("encoder", encoder, MONAI_ENCODERS)
    given = {name: value for name, value in options.items() if name != "width"}
    if encoder == "unet":
        channels = [options.get("width", 16) * 2**level for level in range(5)]
        arguments: dict[str, Any] = {"channels": channels, "norm": "batch", **given}
        arguments.setdefault("strides", [2] * (len(arguments["channels"]) - 1))
        return arguments
    name, default = _WIDTH[encoder]
    return {name: options.get("width", default), **given}
