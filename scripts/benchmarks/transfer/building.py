"""From a method to a network for the task: its layers, its pre-trained weights, and a fresh head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from crossd.checkpoints import load_pretrained, read_checkpoint
from crossd.checkpoints.parameter_names import recognise, without_wrapper
from crossd.convert import convert
from crossd.errors import CrossDError, one_of
from crossd.networks import STAGES, CrossDResNet
from monai.networks.nets import ResNet
from torch import nn

from scripts.benchmarks.transfer.methods import Method

LAYERS = ("conv", "crossd", "acs", "conv2.5d")


def build_network(
    method: Method, checkpoint: Path | None, options: Mapping[str, Any], num_classes: int, seed: int
) -> nn.Module:
    """A network for one-channel images or volumes with the method's weights and a fresh head.

    The head is that of the seed, the same for all methods with as many features.

    Args:
        method: of `METHODS`.
        checkpoint: 2D pre-trained weights (or a 3D file that `load_pretrained` knows); None: random weights.
        options: depth, width and stem of the ResNet.
        num_classes: outputs.
        seed: of what is random.

    Raises:
        CrossDError: for an unknown layer, or a checkpoint that does not fit.

    >>> from scripts.benchmarks.transfer.methods import METHODS
    >>> narrow = {"depth": 10, "width": 4, "conv1_t_size": 3, "conv1_t_stride": 2, "no_max_pool": True}
    >>> build_network(METHODS["scratch"], None, narrow, 2, 0).eval()(torch.zeros(1, 1, 16, 16, 16)).shape
    torch.Size([1, 2])
    """
    one_of("layer", method.layer, LAYERS)
    torch.manual_seed(seed)
    dims = method.spatial_dims
    if method.layer == "crossd":
        network: nn.Module = CrossDResNet(dims, 1, num_classes, **options, **method.network)
    elif method.layer == "conv":
        of_the_file = _architecture(checkpoint) if method.pretraining == "medicalnet" else {}
        network = _plain(dims, num_classes, **{**options, **of_the_file})
    else:
        network = convert(_plain(2, num_classes, **options), to=method.layer)
    if checkpoint is not None:
        load_pretrained(network, checkpoint, **method.load)
    head = network.get_submodule("fc")
    torch.manual_seed(seed)
    head.reset_parameters()  # type: ignore[operator]
    return network


def _plain(
    spatial_dims: int, num_classes: int, depth: int, width: int, shortcut_type: str = "B", **stem: Any
) -> ResNet:
    block, layers = STAGES[depth]
    return ResNet(
        block=block,
        layers=layers,
        block_inplanes=[width * factor for factor in (1, 2, 4, 8)],
        spatial_dims=spatial_dims,
        n_input_channels=1,
        shortcut_type=shortcut_type,
        num_classes=num_classes,
        **{"bias_downsample": False, **stem},
    )


def _architecture(checkpoint: Path | None) -> dict[str, Any]:
    """Of a MedicalNet file: its own width, depth, stem and shortcuts, since it cannot be had in another size."""
    from crossd.cards.from_tensors import resnet_arguments

    if checkpoint is None:
        return {}
    found = without_wrapper(recognise(read_checkpoint(checkpoint)["model"]), lambda name: name == "conv1.weight")
    size = resnet_arguments(found.state)
    if not size:
        raise CrossDError(f"--medicalnet takes a 3D ResNet of MedicalNet's layout; {checkpoint} is none. Pass another.")
    shortcuts = "B" if "layer2.0.downsample.0.weight" in found.state else "A"
    return {
        **size,
        "conv1_t_size": int(found.state["conv1.weight"].shape[-1]),
        "shortcut_type": shortcuts,
        "bias_downsample": "layer2.0.downsample.0.bias" in found.state,
    }
