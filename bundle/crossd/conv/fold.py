"""Folding: a trained Cross-D network as the plain network it is at inference."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from crossd.conv.layer import CrossDConv
from crossd.errors import CrossDError


def fold(network: nn.Module) -> nn.Module:
    """Replace every `CrossDConv` by the plain `torch.nn.Conv2d`/`Conv3d` it is at inference.

    The result scripts, exports, and costs what the same network of plain convolutions costs.

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
    arguments: dict[str, Any] = dict(
        stride=layer.stride,
        padding=layer.padding,
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
