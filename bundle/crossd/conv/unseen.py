"""The part of a stored 3D kernel that 2D training does not see while the kernel rests.

At rest (θ = 0) an image sees one view of `U`: a slice, or the sum over depth. Everything else of `U` keeps its random
initial values until a predicted motion brings it into view. It can be taken away before training (an initialisation),
held small during training (a penalty), or taken away at the transfer to volumes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossd.conv.embed import embed_kernel
from crossd.conv.layer import CrossDConv
from crossd.errors import CrossDError
from crossd.motion import motion_matrix, move_kernel


def unseen_part(layer: CrossDConv) -> Tensor:
    """`U` without what an axial image sees of it at rest.

    For `view="slice"`, all depth slices but the visible one; for `"projection"`, the difference from the mean over
    depth.

    Args:
        layer: 2D or 3D; its alignment is of no account.

    Returns:
        The shape of `layer.weight`, differentiable.

    >>> layer = CrossDConv(2, 1, 1, 3, motion="rotate", bias=False)
    >>> unseen_part(layer)[0, 0].abs().sum((1, 2)) > 1e-4
    tensor([ True, False,  True])
    """
    size = layer.weight.shape[2]
    matrix = motion_matrix(layer.weight.new_zeros(1, 3), size, layer.motion, layer.view)
    seen = move_kernel(layer.weight, matrix)[0].unflatten(-1, [size, size])
    fill = "centre" if layer.view == "slice" else "mean"
    return layer.weight - embed_kernel(seen, alignment="rest", motion=layer.motion, fill=fill)


def unseen_penalty(network: nn.Module) -> Tensor:
    """Half the squared norm of all unseen parts: times a factor, a weight decay of them alone, to add to the loss.

    Raises:
        CrossDError: for a network without Cross-D layers of `K > 1`.

    >>> layer = CrossDConv(2, 2, 4, 3)
    >>> unseen_penalty(layer).backward()
    >>> torch.allclose(layer.weight.grad, unseen_part(layer), atol=1e-6)
    True
    """
    return torch.stack([unseen_part(layer).square().sum() / 2 for layer in _layers(network)]).sum()


@torch.no_grad()
def drop_unseen(network: nn.Module) -> nn.Module:
    """Take the unseen parts away, in place: what remains of `U` is the inflation of its resting 2D kernel.

    Before 2D training an initialisation; at the transfer to volumes, I3D's inflation (centre for `"slice"`, mean for
    `"projection"`) of what 2D training made.

    Returns:
        The network; in 2D its answers at rest are those of before.

    Raises:
        CrossDError: for a network without Cross-D layers of `K > 1`.

    >>> float(unseen_penalty(drop_unseen(CrossDConv(2, 1, 4, 3))).detach()) < 1e-6
    True
    """
    for layer in _layers(network):
        layer.weight.sub_(unseen_part(layer))
    return network


def _layers(network: nn.Module) -> list[CrossDConv]:
    layers = [module for module in network.modules() if isinstance(module, CrossDConv) and module.weight.shape[2] > 1]
    if not layers:
        raise CrossDError(
            f"Only Cross-D kernels larger than 1 have an unseen part; {type(network).__name__} has none. Pass a "
            "network of Cross-D convolutions."
        )
    return layers
