"""Which voxels a network's answer came from: a map for volumes of which the windows say the same everywhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from monai.visualize import OcclusionSensitivity
from torch import Tensor, nn

from crossd.errors import CrossDError, one_of
from crossd.inference.backends import Accelerated
from crossd.inference.window_inferer import WindowInferer
from crossd.inference.window_map import WindowMap
from crossd.networks import MultiView
from crossd.networks.images_of_volumes import smear

METHODS = ("gradient", "occlusion", "views")
CUBES = 8  # along each axis of a window, hidden one by one by "occlusion"

logger = logging.getLogger(__name__)


class VoxelEvidence:
    r"""What the voxels of a volume $x$ add to the log-odds $\log\frac{p}{1 - p}$ of a class.

    - `gradient`: of voxel $i$, $(x_i - b_i)\,\partial\log\frac{p}{1 - p}/\partial x_i$, to first order what would be
      lost if it were background $b$ (the inferer's `pad_value`). One pass forward and one backward.
    - `occlusion`: MONAI's `OcclusionSensitivity`. Of each of 8³ cubes of a window, the log-odds that are lost where it
      is background; one pass forward for each cube that is not background already.

    - `views`: of `MultiView` alone, what its slices, its projections and the volume add (`view_evidence`). One pass
      forward and one backward.

    All are measured in logits, with their sign: what is below 0 speaks against the class. Voxels that several windows
    cover have the mean over these.

    Args:
        network: maps `(batch, channel, *spatial)` to logits `(batch, classes)`; of an `Accelerated` one that in PyTorch
            is asked for gradients. It is not changed.
        method: one of `METHODS`. A network without gradients, as TensorRT's and frozen programs are, is occluded.

    Raises:
        CrossDError: for an unknown method, and for "views" of another network.

    Source: Shrikumar et al., gradient times input, https://arxiv.org/abs/1605.01713; Zeiler and Fergus, occlusion,
    https://arxiv.org/abs/1311.2901. They are compared in docs/guide/report.md.

    >>> network = nn.Sequential(nn.AvgPool3d(4), nn.Flatten(), nn.Linear(1, 2)).eval()
    >>> volume = torch.zeros(1, 4, 4, 4)
    >>> volume[0, 1, 2, 3] = 1.0
    >>> found = VoxelEvidence(network)(volume, WindowInferer(4), class_index=1)()
    >>> found.shape, found.nonzero().tolist()
    (torch.Size([4, 4, 4]), [[1, 2, 3]])
    """

    def __init__(self, network: nn.Module, method: str = "gradient") -> None:
        self.network = network.network if isinstance(network, Accelerated) else network
        self.network.eval()
        self.method = one_of("evidence", method, METHODS)
        if self.method == "views" and not isinstance(self.network, MultiView):
            raise CrossDError(
                f"`evidence` 'views' is of MultiView, which sees slices and projections; got "
                f"{type(self.network).__name__}. Leave it out, or choose 'gradient'."
            )

    def __call__(self, image: Tensor, inferer: WindowInferer, class_index: int) -> WindowMap:
        """The map of a volume `(channel, depth, height, width)` for a class, by the inferer's windows."""
        plan = inferer.plan(image[None])
        device = next((one.device for one in self.network.parameters()), image.device)
        background = torch.as_tensor(inferer.pad_value, dtype=torch.float32).reshape(-1, 1, 1, 1).to(device)
        total, count = (torch.zeros(plan.volume.shape[2:]) for _ in range(2))

        def score(logits: Tensor) -> Tensor:
            return log_odds(logits, inferer.activation == "softmax")[:, class_index]

        for index, box in enumerate(plan.boxes):
            count[box] += 1
            if plan.same_as[index] == index:  # the others are background, which adds nothing
                window = plan.cut(index).to(device, torch.float32)
                total[box] += self._of_window(window, background, score).detach().flatten(0, -4).sum(0).cpu()
        inside = tuple(slice(pad, pad + size) for pad, size in zip(plan.before, plan.shape, strict=True))
        values = (total / count)[inside]
        return WindowMap(values, tuple(map(torch.eye, values.shape)), probability=False)

    def _of_window(self, window: Tensor, background: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
        """`(…, *spatial)`, whose sum is the map."""
        if self.method == "views":
            assert isinstance(self.network, MultiView)
            return torch.stack(list(view_evidence(self.network, window, background, score).values()))
        if self.method == "gradient":
            with torch.enable_grad():
                window.requires_grad_(True)
                said = score(self.network(window))
                if said.requires_grad:
                    return torch.autograd.grad(said.sum(), window)[0] * (window - background)
            logger.warning("the network gives no gradients: the maps of evidence are made by occlusion")
            self.method = "occlusion"
        return _occlusion(window.detach(), background, lambda windows: score(self.network(windows)))


@torch.no_grad()
def _occlusion(window: Tensor, background: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """What is lost where a cube is background, `(1, 1, *spatial)`, by the score of windows."""
    cube = [max(1, size // CUBES) for size in window.shape[2:]]
    shown = window - background  # MONAI hides voxels behind one number for all channels
    whole = score(window)

    def lost(hidden: Tensor) -> Tensor:
        found = torch.zeros(len(hidden), 1, device=hidden.device)
        changed = ((hidden - shown).abs() > 1e-5).flatten(1).any(1)  # normalising rounds in the last digit
        if changed.any():
            found[changed, 0] = whole - score(hidden[changed] + background)
        return found

    occlude = OcclusionSensitivity(
        _Module(lost), cube, n_batch=CUBES, verbose=False, mode=0.0, overlap=0.0, activate=False
    )
    return torch.as_tensor(occlude(shown)[0])


class _Module(nn.Module):
    """A function as a module, which is what MONAI takes."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.forward = function


def log_odds(logits: Tensor, exclusive: bool) -> Tensor:
    """$\\log\\frac{p}{1 - p}$ of each class, `(batch, classes)`.

    Args:
        logits: `(batch, classes)`.
        exclusive: whether probabilities are their softmax; otherwise each class has a sigmoid of its own.

    >>> logits = torch.tensor([[2.0, -1.0, 0.5]])
    >>> torch.allclose(log_odds(logits, True), logits.softmax(1).logit()), log_odds(logits, False).tolist()
    (True, [[2.0, -1.0, 0.5]])
    """
    if not exclusive:
        return logits
    own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    return logits - logits[:, None].masked_fill(own, -torch.inf).logsumexp(2)


def view_evidence(
    network: MultiView, window: Tensor, background: Tensor, score: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    r"""What each slice, each projection and the volume add: of each view a map `(channel, depth, height, width)`.

    An image $i$ adds $\sum_f (f_i - f_b)\,\partial s/\partial f_i$ to the log-odds $s$ of a class, where $f_i$ are its
    features and $f_b$ those of an image of background: what would be lost if it were background. Where images are
    pooled by their mean and there are two classes, or each is by itself, all of them add up to what the volume has more
    than an empty one; otherwise they do so to first order.

    What an image adds is dealt to its pixels by $|(x - b)\,\partial s/\partial x|$, and from there to the voxels: of a
    slice to those that are nearest to it, of a projection to all on the pixel's ray. So the sum stays.

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
