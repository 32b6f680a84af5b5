"""The network that is pre-trained, an encoder, a decoder without skip connections and the objective, and its steps.

The published network ("nsUNet") has no skip connections either: what the decoder restores an image from has to be in
the coarsest map.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from monai.networks.blocks import Convolution
from torch import Tensor, nn

from crossd.errors import CrossDError
from crossd.ssl.encoders import Encoder
from crossd.ssl.heads import PCRLHeads
from crossd.ssl.pcrl import PCRLObjective
from crossd.training.randomness import derive_seed

SCALES = 3  # from the published code: the least that the objective is meant for
NARROWEST = 8  # channels at the size of the view
VIEWS = ("view_1", "view_2", "sub_crops", "target")
SHOWN = 8


class PlainDecoder(nn.Module):
    """Feature maps of an encoder's coarsest one alone: interpolated, then two convolutions, step by step.

    Two convolutions 3³ with batch norm and ReLU a step are from the published code. Interpolation instead of transposed
    convolutions is ours: it takes views of any size, and its result any size of map.

    Args:
        channels: in the coarsest map, and then of each step's result.

    >>> decoder = PlainDecoder([16, 8, 4])
    >>> maps = decoder(torch.rand(2, 16, 2, 2, 2), [(3, 4, 4), (6, 8, 8)])
    >>> [tuple(feature.shape[1:]) for feature in maps]
    [(8, 3, 4, 4), (4, 6, 8, 8)]
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            nn.Sequential(_convolution(before, after), _convolution(after, after))
            for before, after in pairwise(channels)
        )

    def forward(self, x: Tensor, sizes: Sequence[Sequence[int]]) -> list[Tensor]:
        """The coarsest map `(batch, channel, …)` to one of each size, coarse to fine."""
        maps = []
        for step, size in zip(self.steps, sizes, strict=True):
            x = step(F.interpolate(x, size=tuple(size), mode="trilinear"))
            maps.append(x)
        return maps


def _convolution(before: int, after: int) -> Convolution:
    return Convolution(3, before, after, kernel_size=3, act="RELU", norm="BATCH", bias=False)


class PCRLNetwork(nn.Module):
    """From views to the loss, in one forward pass, as `DistributedDataParallel` needs it.

    Args:
        encoder: any that gives maps coarse to fine.
        roi_size: of the views, by which the encoder's levels are found.

    Raises:
        CrossDError: when the decoder would have fewer than three scales.

    >>> from crossd.ssl.encoders import build_encoder
    >>> encoder = build_encoder("crossd", 1, {"depth": 10, "width": 4, "no_max_pool": True})
    >>> network = PCRLNetwork(encoder, 1, (16, 16, 16), PCRLObjective())
    >>> view, crops = torch.rand(2, 1, 16, 16, 16), torch.rand(2, 3, 1, 8, 8, 8)
    >>> out = network(view, view, crops, target=view, epoch=0.0, seed=0)
    >>> out["loss"].requires_grad, out["restored"].shape
    (True, torch.Size([2, 1, 16, 16, 16]))
    """

    def __init__(self, encoder: Encoder, in_channels: int, roi_size: Sequence[int], objective: PCRLObjective) -> None:
        super().__init__()
        self.encoder = encoder
        encoder.eval()
        with torch.no_grad():
            maps = encoder(torch.zeros(1, in_channels, *roi_size))
        encoder.train()
        shapes = [tuple(feature.shape[2:]) for feature in maps]
        # of each size, coarse to fine, the first: the deepest one
        self.levels = [level for level, shape in enumerate(shapes) if shape not in shapes[:level]]
        channels = [maps[level].shape[1] for level in self.levels]
        self.adds_view_size = shapes[-1] != tuple(roi_size)
        if self.adds_view_size:
            channels.append(max(NARROWEST, channels[-1] // 2))
        if len(channels) - 1 < SCALES:
            raise CrossDError(
                f"Views are compared at {SCALES} scales or more; the encoder's maps of a view {list(roi_size)} have "
                f"the sizes {[list(shape) for shape in shapes]}, which make {len(channels) - 1}. Pass a larger "
                "--roi_size, or an encoder with more levels."
            )
        self.decoder = PlainDecoder(channels)
        self.heads = PCRLHeads(3, channels[1:], in_channels)
        self.objective = objective

    def feature_maps(self, view: Tensor) -> list[Tensor]:
        """The decoder's maps of a view, coarse to fine; the last has its size."""
        maps = self.encoder(view)
        sizes = [maps[level].shape[2:] for level in self.levels[1:]]
        if self.adds_view_size:
            sizes.append(view.shape[2:])
        return list(self.decoder(maps[self.levels[0]], sizes))

    def forward(
        self, view_1: Tensor, view_2: Tensor, sub_crops: Tensor, target: Tensor, epoch: float, seed: int
    ) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            view_1, view_2: `(batch, channel, *roi_size)`.
            sub_crops: `(batch, crops, channel, *sub_roi_size)`; `(batch, 0)` for none.
            target, epoch: see `PCRLObjective`.
            seed: of the scales that are drawn. The same in all processes, which then agree on the heads in use.

        Returns:
            `"loss"`, with a gradient, and without one its terms (see `PCRLObjective`) and `"restored"`, view 1 as the
            decoder restores it.
        """
        first = self.heads(self.feature_maps(view_1))
        second = self.heads(self.feature_maps(view_2), sub_crops=True)
        count = sub_crops.shape[1] if sub_crops.dim() > 2 else 0
        crops = []
        if count:
            together = sub_crops.transpose(0, 1).flatten(0, 1)  # crop after crop, the cases of each in a row
            crops = self.heads(self.feature_maps(together), sub_crops=True).split(count)
        generator = torch.Generator().manual_seed(seed)
        terms = self.objective(first, second, crops, target, epoch, generator)
        detached = {name: term.detach() for name, term in terms.items() if name != "loss"}
        return {"loss": terms["loss"], **detached, "restored": first.restored.detach()}


class PCRLIteration:
    """What `SupervisedTrainer(iteration_update=…)` does with a batch of `JointDataset`.

    Args:
        seed: of the scales that are drawn for each step.
        amp: whether the forward pass is in lower precision, see `crossd.precision`; the trainer's own `amp` scales the
            loss.

    The engine's output is that of `PCRLNetwork`, with `"target"` and `"kind"` of each case.

    Raises:
        CrossDError: when the loss is not a finite number, naming step and cases; the weights are as before then.
    """

    def __init__(self, seed: int = 0, amp: bool = False) -> None:
        self.seed = seed
        self.amp = amp

    def __call__(self, engine: Any, batch: dict[str, Any]) -> dict[str, Any]:
        device = torch.device(engine.state.device)
        views: dict[str, Tensor] = {
            name: batch[name].to(device, non_blocking=engine.non_blocking) for name in VIEWS if name in batch
        }
        step = engine.state.iteration
        # epochs that are over, with fractions: a run of few long epochs is annealed as smoothly as one of many
        epoch = (step - 1) / engine.state.epoch_length
        engine.network.train()
        engine.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, enabled=self.amp):
            output = engine.network(**views, epoch=epoch, seed=derive_seed(self.seed, step))
        if not torch.isfinite(output["loss"]):
            raise CrossDError(_not_finite(output, views, batch["case"], engine.state))
        if engine.scaler is not None:
            engine.scaler.scale(output["loss"]).backward()
            engine.scaler.step(engine.optimizer)
            engine.scaler.update()
        else:
            output["loss"].backward()
            engine.optimizer.step()
        return {**output, "loss": output["loss"].detach(), "target": views["target"], "kind": batch["kind"]}


def _not_finite(output: dict[str, Tensor], views: dict[str, Tensor], cases: list[str], state: Any) -> str:
    terms = ", ".join(f"{name} {float(value.detach()):g}" for name, value in output.items() if value.dim() == 0)
    listed = ", ".join(cases[:SHOWN]) + (f" and {len(cases) - SHOWN} more" if len(cases) > SHOWN else "")
    wrong = [
        case
        for index, case in enumerate(cases)
        if not all(bool(view[index].isfinite().all()) for view in views.values())
    ]
    remedy = (
        f"The views of {', '.join(wrong[:SHOWN])} hold values that are none: repair or leave out these cases."
        if wrong
        else "All views are finite, so the weights are not: pass a smaller --learning_rate, or --amp false, with "
        "--resume false."
    )
    return (
        f"The loss must be a finite number, got {terms} in step {state.iteration} (epoch {state.epoch}) for the batch "
        f"{listed}. {remedy}"
    )
