"""Classify a volume of any size by windows of the size the network was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.data import MetaTensor
from monai.data.utils import dense_patch_slices
from monai.inferers import Inferer
from monai.utils import ensure_tuple_rep, fall_back_tuple
from torch import Tensor
from tqdm import tqdm

from crossd.cards.after_image import After, after_image
from crossd.cards.background import background
from crossd.cards.tasks import task_of
from crossd.data.declared_sizes import check_voxels
from crossd.errors import CrossDError
from crossd.inference.aggregation import Aggregation
from crossd.inference.backends import Accelerated
from crossd.inference.window_map import WindowEvidence
from crossd.processes import rank

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda logits: logits.softmax(1),
    "sigmoid": Tensor.sigmoid,
    "identity": lambda values: values,
}
"""What a network's outputs `(windows, classes)` say, by `activation`."""


class WindowInferer(Inferer):
    """Runs a classifier over overlapping windows of each volume and aggregates the windows' probabilities.

    MONAI's `SlidingWindowInferer` needs a network that returns an image. This one is for networks that return logits
    `(batch, classes)`. Windows are placed as MONAI places them: the last one along an axis is shifted back to end at
    the border. A volume smaller than the window along an axis is padded on both sides of it. A volume of exactly the
    window's size gives the network's own answer.

    Args:
        roi_size: voxels of a window, one number or one per axis; None or a value below 1 stands for the whole axis.
        overlap: part of a window shared with the next, 0 <= overlap < 1, one number or one per axis.
        aggregate: "mean", "max", "top_k" or "noisy_or"; formulas in `Aggregation`.
        top_k: how many windows "top_k" averages.
        sw_batch_size: windows in one pass of the network.
        pad_value: what surrounds small volumes: the normalised background, one number or one per channel.
        activation: "softmax" (one class is true) or "sigmoid" (each class by itself), applied to each window's logits;
            "identity": the network says a value, as a regression does, and so does the inferer.
        negative_class: index of the class that means "absent"; see `Aggregation`.
        skip_background: give all windows of a volume that hold only `pad_value` the answer of the first of them, as
            the network says the same to the same window. The aggregate and the map are those of all windows.
        flips: axes (0 depth, 1 height, 2 width); the probabilities of a window are the mean of its own and of those of
            its mirror image along each. Only where a mirror image is of the same class.
        progress: show a bar over the windows of each volume, on a terminal.

    Raises:
        CrossDError: for values outside of those above; when called, for inputs that are not `(batch, channel,
            *spatial)`, for networks that do not return `(windows, classes)`, and for logits that are not finite.

    >>> network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten(), torch.nn.Linear(1, 2))
    >>> inferer = WindowInferer(roi_size=(16, 16, 16), overlap=0.5)
    >>> inferer(torch.rand(2, 1, 20, 40, 16), network).shape
    torch.Size([2, 2])
    >>> inferer.windows(torch.rand(1, 1, 20, 40, 16), network).starts[:3].tolist()
    [[0, 0, 0], [0, 8, 0], [0, 16, 0]]
    """

    def __init__(
        self,
        roi_size: Sequence[int] | int | None,
        overlap: float | Sequence[float] = 0.25,
        aggregate: str = "mean",
        top_k: int = 3,
        sw_batch_size: int = 4,
        pad_value: float | Sequence[float] = 0.0,
        activation: str = "softmax",
        negative_class: int | None = None,
        progress: bool = False,
        skip_background: bool = False,
        flips: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        overlaps = (overlap,) if isinstance(overlap, (int, float)) else tuple(overlap)
        if not all(0 <= value < 1 for value in overlaps):
            raise CrossDError(f"overlap must lie in 0 <= overlap < 1, got {overlap}: 0.5 shares half of a window")
        if sw_batch_size < 1:
            raise CrossDError(f"sw_batch_size must be at least 1 window, got {sw_batch_size}")
        if activation not in ACTIVATIONS:
            raise CrossDError(
                f"activation must be {' or '.join(map(repr, ACTIVATIONS))}, got {activation!r}: choose one of these"
            )
        flips = tuple(flips or ())
        if len({*flips}) < len(flips) or not {*flips} <= {0, 1, 2}:
            raise CrossDError(f"flips must be different axes of 0, 1 and 2, got {[*flips]}: [0, 1, 2] are all")
        self.flips = flips
        self.roi_size = roi_size
        self.overlap = overlap
        self.sw_batch_size = sw_batch_size
        self.pad_value = pad_value
        self.activation = activation
        of_classes = {"exclusive": activation == "softmax", "classifies": activation != "identity"}
        self.aggregation = Aggregation(aggregate, top_k, negative_class, **of_classes)
        self.progress = progress
        self.skip_background = skip_background
        self.after: After | None = None  # of the card; called where windows have become a case's answer

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Probabilities `(batch, classes)` of `(batch, channel, depth, height, width)`, on the inputs' device."""
        answers = [self.windows(volume[None], network, *args, **kwargs).aggregate() for volume in inputs]
        return torch.stack(answers).to(inputs.device, torch.float32)

    def windows(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> WindowEvidence:
        """What the network says to each window of one volume `(1, channel, depth, height, width)`."""
        if inputs.ndim < 3 or len(inputs) != 1:
            raise CrossDError(
                f"windows() takes one volume (1, channel, depth, height, width), got shape {tuple(inputs.shape)}: pass "
                "the volumes of a batch one by one, or call the inferer itself"
            )
        return self.windows_of([inputs], network, *args, **kwargs)[0]

    def windows_of(
        self, inputs: Sequence[Tensor], network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> list[WindowEvidence]:
        """The same for several volumes, whose windows share batches; sizes may differ unless `roi_size` follows them.

        All volumes are held at once, so this is for small ones: a volume that fills a batch gains nothing from it.
        """
        plans = [self.plan(volume) for volume in inputs]
        todo = [(number, index) for number, plan in enumerate(plans) for index in plan.distinct]
        answers: list[tuple[Tensor, Tensor | None]] = []
        batches = range(0, len(todo), self.sw_batch_size)
        hidden = None if self.progress and len(batches) > 1 else True  # None: shown on a terminal only
        for first in tqdm(batches, desc="windows", leave=False, disable=hidden):
            batch = [plans[number].cut(index) for number, index in todo[first : first + self.sw_batch_size]]
            windows = torch.cat(batch).to(_device(network, batch[0]))
            if isinstance(network, Accelerated) and not (args or kwargs):
                logits, features = network.with_features(windows)
            else:
                logits, features = network(windows, *args, **kwargs), None
            many = [None] * len(batch) if features is None else features.detach().float().cpu().unbind()
            said = [self._probabilities(logits, len(batch))]
            for axis in self.flips:
                said.append(self._probabilities(network(windows.flip(axis + 2), *args, **kwargs), len(batch)))
            answers += zip(torch.stack(said).mean(0).unbind(), many, strict=True)
        in_order = iter(answers)
        return [plan.evidence([next(in_order) for _ in plan.distinct], self.aggregation) for plan in plans]

    def plan(self, inputs: Tensor) -> WindowPlan:
        """Where the windows of one volume `(1, channel, depth, height, width)` lie; no network is asked."""
        volume = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        shape = tuple(volume.shape[2:])
        window = tuple(fall_back_tuple(self.roi_size, shape))
        volume, before = _pad(volume, window, self.pad_value)
        overlap = ensure_tuple_rep(self.overlap, len(shape))
        strides = tuple(max(1, int(w * (1 - o))) for w, o in zip(window, overlap, strict=True))
        boxes = dense_patch_slices(volume.shape[2:], window, strides)
        same_as = list(range(len(boxes)))
        if self.skip_background:
            holds = _differs(volume, self.pad_value)
            empty = [index for index, box in enumerate(boxes) if not holds[tuple(box)].any()]
            for index in empty:
                same_as[index] = empty[0]
        return WindowPlan(volume, shape, window, before, boxes, same_as)

    def _probabilities(self, logits: Tensor, count: int) -> Tensor:
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != count:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise CrossDError(f"the network must return logits (windows, classes), {count} windows here, got {got}")
        logits = logits.detach().float().cpu()
        if not logits.isfinite().all():
            raise CrossDError(
                "the network's logits must be finite, got NaN or infinity: check the volume's "
                "intensities, and run without amp"
            )
        return ACTIVATIONS[self.activation](logits)


def inferer_from_card(card: Mapping[str, Any], **options: Any) -> WindowInferer:
    """The inferer of a card: window, what pads it, what its logits mean; the first process shows how far it is.

    >>> seen = {"roi_size": [64, 64, 64], "mean": 0.5, "std": 0.25}
    >>> inferer = inferer_from_card({"task": "multiclass", "negative_class": 0, "input": seen}, overlap=0.5)
    >>> inferer.roi_size, inferer.pad_value, inferer.activation
    ([64, 64, 64], -2.0, 'softmax')
    """
    task = task_of(card.get("task"))
    found = {
        "roi_size": card["input"]["roi_size"],
        "pad_value": background(card["input"]),
        "activation": task.activation,
        "negative_class": card["negative_class"] if task.exclusive else None,
        "progress": rank() == 0,
    }
    inferer = WindowInferer(**{**found, **options})
    inferer.after = after_image(card)
    return inferer


@dataclass(frozen=True)
class WindowPlan:
    """A padded volume `(1, channel, *spatial)`, its windows, and for each of them the window that answers for it."""

    volume: Tensor
    shape: tuple[int, ...]
    window: tuple[int, ...]
    before: tuple[int, ...]
    boxes: list[tuple[slice, ...]]
    same_as: list[int]

    @property
    def distinct(self) -> list[int]:
        return [index for index, other in enumerate(self.same_as) if index == other]

    def cut(self, index: int) -> Tensor:
        return self.volume[(slice(None), slice(None), *self.boxes[index])]

    def evidence(self, answers: list[tuple[Tensor, Tensor | None]], aggregation: Aggregation) -> WindowEvidence:
        found = dict(zip(self.distinct, answers, strict=True))
        features = [seen for index in self.same_as if (seen := found[index][1]) is not None]
        return WindowEvidence(
            probabilities=torch.stack([found[index][0] for index in self.same_as]),
            starts=torch.tensor([[axis.start for axis in box] for box in self.boxes]),
            window=self.window,
            shape=self.shape,
            before=self.before,
            aggregation=aggregation,
            features=torch.stack(features).mean(0) if features else None,
        )


def _differs(volume: Tensor, value: float | Sequence[float]) -> Tensor:
    """Which voxels `(*spatial)` are not background in some channel; normalising rounds in the last digit."""
    background = torch.as_tensor(value, dtype=volume.dtype, device=volume.device).reshape(-1, *[1] * (volume.ndim - 2))
    return ((volume[0] - background).abs() > 1e-6 * background.abs().clamp(min=1)).any(0)


def _pad(volume: Tensor, window: Sequence[int], value: float | Sequence[float]) -> tuple[Tensor, tuple[int, ...]]:
    """Enlarge each axis to at least the window, the same on both sides; also what was added in front."""
    shape = volume.shape[2:]
    before = tuple(max(w - s, 0) // 2 for w, s in zip(window, shape, strict=True))
    padded_shape = [max(w, s) for w, s in zip(window, shape, strict=True)]
    check_voxels("the volume", padded_shape, "has, padded to the window,")
    if padded_shape == list(shape):
        return volume, before
    fill = torch.as_tensor(value, dtype=volume.dtype, device=volume.device).reshape(1, -1, *[1] * len(shape))
    if fill.shape[1] not in (1, volume.shape[1]):
        raise CrossDError(
            f"pad_value must be one number or one per channel, got {fill.shape[1]} for {volume.shape[1]} channels"
        )
    padded = fill.expand(1, volume.shape[1], *padded_shape).clone()
    inside = tuple(slice(b, b + s) for b, s in zip(before, shape, strict=True))
    padded[(slice(None), slice(None), *inside)] = volume
    return padded, before


def _device(network: Callable[..., Tensor], volume: Tensor) -> torch.device:
    """Where the network's parameters are; where the volume is when it has none."""
    if isinstance(network, torch.nn.Module):
        for parameter in network.parameters():
            return parameter.device
    return volume.device
