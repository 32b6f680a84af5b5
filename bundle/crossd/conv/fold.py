"""Folding and calibration: what turns a trained Cross-D network into a plain one."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from crossd.conv.layer import CrossDConv
from crossd.errors import CrossDError


def fold(network: nn.Module) -> nn.Module:
    """Replace every `CrossDConv` by the plain `torch.nn.Conv2d`/`Conv3d` it is at inference.

    The result scripts, exports, and costs what the same network of plain convolutions costs.

    Args:
        network: a module; it is not changed.

    Returns:
        A deep copy with the same outputs.

    Raises:
        CrossDError: where a kernel depends on the input (`alignment="dynamic"`).

    >>> plain = fold(CrossDConv(3, 1, 4, 3, padding=1))
    >>> type(plain).__name__
    'Conv3d'
    """
    for name, module in network.named_modules():
        if isinstance(module, CrossDConv) and module.alignment == "dynamic" and module.predictor is not None:
            raise CrossDError(
                f"Only a kernel that does not depend on the input can be folded; {name or 'the layer'} has alignment "
                '"dynamic". Use crossd.set_alignment(network, "running") first.'
            )
    copied = copy.deepcopy(network)
    if isinstance(copied, CrossDConv):
        return _plain(copied)
    replaced: dict[CrossDConv, nn.Module] = {}
    for parent in list(copied.modules()):
        for name, child in list(parent._modules.items()):  # named_children() lists a shared module once
            if isinstance(child, CrossDConv):
                replaced.setdefault(child, _plain(child))
                setattr(parent, name, replaced[child])
    return copied


@torch.no_grad()
def _plain(layer: CrossDConv) -> nn.Module:
    convolution = {2: nn.Conv2d, 3: nn.Conv3d}[layer.spatial_dims]
    padding: tuple[int, ...] | str = layer.padding
    pads = layer._padded
    if any(pads):
        sides = list(zip(pads[::2], pads[1::2], strict=True))[::-1]
        padding = tuple(left for left, _ in sides)
        if any(left != right for left, right in sides):
            padding = "same"  # the only way to uneven sides
    arguments: dict[str, Any] = dict(
        stride=layer.stride,
        padding=padding,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
        device=layer.weight.device,
        dtype=layer.weight.dtype,
    )
    plain = convolution(layer.in_channels, layer.out_channels, layer.kernel_size[0], **arguments)
    plain.weight.copy_(layer.kernel())
    if layer.bias is not None and plain.bias is not None:
        plain.bias.copy_(layer.bias)
    plain.weight.requires_grad_(layer.weight.requires_grad)
    return plain.train(layer.training)


@torch.no_grad()
def calibrate(network: nn.Module, images: Iterable[Tensor]) -> nn.Module:
    """Re-estimate `running_motion` of every layer of a 2D network as the exact mean over images.

    Args:
        network: a 2D network with `alignment="dynamic"`; changed in place. It runs in evaluation mode.
        images: batches `(batch, channel, height, width)`.

    Returns:
        The network.

    Raises:
        CrossDError: for a network without dynamic 2D layers, or no images.

    >>> layer = calibrate(CrossDConv(2, 1, 4, 3), [torch.randn(8, 1, 9, 9)])
    >>> bool(layer.running_motion.abs().sum() > 0)
    True
    """
    layers = [
        module
        for module in network.modules()
        if isinstance(module, CrossDConv)
        and module.spatial_dims == 2
        and module.alignment == "dynamic"
        and module.predictor
    ]
    if not layers:
        raise CrossDError(
            'calibrate() needs a 2D network with alignment="dynamic", whose motions it averages; found no such layer. '
            "Load the weights into the 2D network, calibrate that, and load its state dict into the 3D one."
        )
    sums = {layer: torch.zeros(3, dtype=torch.float64, device=layer.weight.device) for layer in layers}
    counts = dict.fromkeys(layers, 0)

    def record(layer: CrossDConv, inputs: tuple[Tensor]) -> None:
        predictor = layer.predictor
        assert predictor is not None
        motion_vector = predictor(inputs[0])
        sums[layer] += motion_vector.sum(0).double()
        counts[layer] += len(motion_vector)

    handles = [layer.register_forward_pre_hook(record) for layer in layers]
    was_training = network.training
    network.eval()
    try:
        for batch in images:
            network(batch)
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    if not any(counts.values()):
        raise CrossDError("calibrate() needs at least one batch of images; got none.")
    for layer in layers:
        running = layer.running_motion
        assert running is not None
        running.copy_((sums[layer] / max(counts[layer], 1)).to(running.dtype))
    return network
