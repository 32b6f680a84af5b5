r"""What each slice, each projection and the volume add to an answer of `MultiView`, put back into the volume.

An image $i$ adds $\sum_f (f_i - f_b)\,\partial s/\partial f_i$ to the log-odds $s$ of a class, where $f_i$ are its
features and $f_b$ those of an image of background: what would be lost if it were background. Where images are pooled by
their mean and the log-odds are those of two classes, or of a class by itself, all of them together are what the volume
has more than an empty one. With another pooling, or more classes, they are so to first order.

What an image adds is dealt to its pixels by $|(x - b)\,\partial s/\partial x|$, and from there to the voxels: of a
slice to those that are nearest to it, of a projection to all on the pixel's ray. So the sum stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from crossd.networks import MultiView
from crossd.networks.images_of_volumes import smear


def view_evidence(
    network: MultiView, window: Tensor, background: Tensor, score: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """The map of each view, by its name, `(channel, depth, height, width)`, in logits.

    Args:
        network: in evaluation mode.
        window: `(1, channel, depth, height, width)`.
        background: intensity of what is empty, `(channel, 1, 1, 1)`, or of one channel for all.
        score: logits `(1, classes)` → log-odds `(1,)`.
    """
    empty = background.expand(window.shape[1], 1, 1, 1).reshape(-1)
    with torch.enable_grad():
        images = {
            view: [stack.detach().requires_grad_(True) for stack in stacks]
            for view, stacks in network.images(window).items()
        }
        seen = network.seen(images)
        said = score(network.answer(network.pooling(seen)))
        of_features, of_pixels = _gradients(said, seen), _gradients(said, images, last=True)
    found = {}
    with torch.no_grad():
        nothing = network.seen({view: [_filled(stack, empty) for stack in images[view]] for view in images})
        for view, stacks in images.items():
            found[view] = torch.zeros_like(window[0])
            for number, stack in enumerate(stacks):
                added = ((seen[view][number] - nothing[view][number]) * of_features[view][number]).sum(2)
                deals = (stack - _filled(stack, empty)) * of_pixels[view][number]
                placed = _dealt(added, deals.abs())
                found[view] += _put_back(network, view, number, placed, window.shape[2:])[:, 0]
    return found


def _gradients(said: Tensor, found: dict[str, list[Tensor]], last: bool = False) -> dict[str, list[Tensor]]:
    every = [stack for stacks in found.values() for stack in stacks]
    gradients = iter(torch.autograd.grad(said.sum(), every, retain_graph=not last))
    return {view: [next(gradients) for _ in stacks] for view, stacks in found.items()}


def _filled(stack: Tensor, empty: Tensor) -> Tensor:
    """One image of background, `(channel, 1, 1, *size)`."""
    return empty.reshape(-1, *[1] * (stack.ndim - 1)).expand_as(stack[:, :1])


def _dealt(added: Tensor, weights: Tensor) -> Tensor:
    """What images add, `(channel, image)`, in proportion to weights `(channel, image, 1, *size)`, or evenly."""
    flat = weights.flatten(2)
    total = flat.sum(2, keepdim=True)
    shares = torch.where(total > 0, flat / total.clamp(min=1e-30), 1 / flat.shape[2])
    return (added.unsqueeze(2) * shares).reshape(weights.shape)


def _put_back(network: MultiView, view: str, number: int, placed: Tensor, shape: Sequence[int]) -> Tensor:
    """The pixels of the images along one axis or direction → `(channel, 1, depth, height, width)`."""
    if view == "volume":
        return placed[:, 0]
    if view == "projections":
        return smear(placed.sum(1), network.directions[number], shape, network.spacing)
    axis = network.axes[number]
    positions = torch.tensor(network.slice_positions(shape)[axis], device=placed.device)
    away = (torch.arange(shape[axis], device=placed.device)[:, None] - positions).abs()
    nearest = F.one_hot(away.argmin(1), len(positions)).to(placed)  # (voxel, slice)
    return torch.tensordot(placed, nearest / nearest.sum(0), dims=([1], [1])).movedim(-1, 2 + axis)
