"""The part of a stored 3D kernel that 2D training does not see while the kernel rests.

At rest (θ = 0) an axial image sees one view of `U`: a slice, or the sum over depth. Everything else of `U` keeps its
random initial values until a predicted motion, or an image of another orientation, brings it into view. It can be taken
away before training (an initialisation), held small during training (a penalty), or taken away at the transfer to
volumes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from crossd.conv.inflation import embed_kernel
from crossd.conv.layer import CrossDConv
from crossd.errors import CrossDError
from crossd.motion import motion_matrix, move_kernel, seen_from


def unseen_part(layer: CrossDConv, axes: Sequence[int] = (0,)) -> Tensor:
    """`U` without what images see of it at rest.

    For `view="slice"`, all but the visible slices; for `"projection"`, what has mean 0 along each of the axes. It is
    differentiable, and the alignment of the layer is of no account.

    Args:
        axes: the through-plane axes of the images: `(0,)` axial ones, `(0, 1, 2)` after training with
            `random_through_plane`.

    >>> layer = CrossDConv(2, 1, 1, 3, motion="rotate", bias=False)
    >>> unseen_part(layer)[0, 0].abs().sum((1, 2)) > 1e-4
    tensor([ True, False,  True])
    """
    part: Tensor = layer.weight
    size = part.shape[2]
    matrix = motion_matrix(part.new_zeros(1, 3), size, layer.motion, layer.view)
    fill = "centre" if layer.view == "slice" else "mean"
    for axis in axes:  # the views are orthogonal projections that commute
        seen = move_kernel(seen_from(part, axis), matrix)[0].unflatten(-1, [size, size])
        part = part - embed_kernel(seen, alignment="rest", motion=layer.motion, fill=fill).movedim(2, 2 + axis)
    return part


def unseen_penalty(network: nn.Module, axes: Sequence[int] = (0,)) -> Tensor:
    """Half the squared norm of every `unseen_part`: times a factor, a weight decay of them alone, to add to the loss.

    Raises:
        CrossDError: for a network without Cross-D layers of `K > 1`.

    >>> layer = CrossDConv(2, 2, 4, 3)
    >>> unseen_penalty(layer).backward()
    >>> torch.allclose(layer.weight.grad, unseen_part(layer), atol=1e-6)
    True
    """
    return torch.stack([unseen_part(layer, axes).square().sum() / 2 for layer in _layers(network)]).sum()


@torch.no_grad()
def drop_unseen(network: nn.Module, axes: Sequence[int] = (0,)) -> nn.Module:
    """Take the unseen parts away, in place: what remains of `U` is the inflation of its resting 2D kernel.

    Before 2D training an initialisation; at the transfer to volumes it takes away what is still as it was initialised.
    With axial images alone that leaves I3D's inflation of the 2D kernels (centre for `"slice"`, mean for
    `"projection"`).

    Returns:
        The network; in 2D its answers at rest are those of before.

    Raises:
        CrossDError: for a network without Cross-D layers of `K > 1`.

    >>> float(unseen_penalty(drop_unseen(CrossDConv(2, 1, 4, 3))).detach()) < 1e-6
    True
    """
    for layer in _layers(network):
        layer.weight.sub_(unseen_part(layer, axes))
    return network


def _layers(network: nn.Module) -> list[CrossDConv]:
    layers = [module for module in network.modules() if isinstance(module, CrossDConv) and module.weight.shape[2] > 1]
    if not layers:
        raise CrossDError(
            f"Only Cross-D kernels larger than 1 have an unseen part; {type(network).__name__} has none. Pass a "
            "network of Cross-D convolutions."
        )
    return layers
