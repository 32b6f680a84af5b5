"""What one layer takes from a checkpoint: the rules of transfer, layer kind by layer kind."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from crossd.baselines import ACSConv
from crossd.checkpoints.parameter_names import Source
from crossd.conv import CrossDConv, embed_kernel, inflate_kernel
from crossd.conv.inflation import projection_residual, tomographic_kernel

CONVOLUTIONS = (CrossDConv, ACSConv, nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass
class Plan:
    """Values to load and what to report about them; nothing in the network has changed yet."""

    source: Source
    current: dict[str, Tensor]
    fill: str | None
    in_grey: str = "exact where they had the same mean and standard deviation"
    values: dict[str, Tensor] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)  # name -> a list of TransferReport
    absent: list[str] = field(default_factory=list)  # no rule says what to do without them
    misfits: dict[str, str] = field(default_factory=dict)  # name -> both shapes
    used: set[str] = field(default_factory=set)
    dispensable: set[str] = field(default_factory=set)  # entries of the checkpoint whose loss is harmless
    residuals: list[float] = field(default_factory=list)  # of tomographic kernels
    notes: Counter[str] = field(default_factory=Counter)  # note with `{n}` for the number of layers

    def put(self, name: str, value: Tensor, kind: str) -> None:
        self.values[name], self.kinds[name] = value, kind

    def take(self, name: str) -> Tensor | None:
        """The checkpoint's entry in the network's precision, counted as used; `None` when there is none."""
        self.used.add(name)
        given = self.source.state.get(name)
        if given is None or not given.is_floating_point() or name not in self.current:
            return given
        return given.to(self.current[name].dtype)

    def measure(self, kernel: Tensor, fill: str) -> None:
        """How far from a 2D kernel the projections are that a tomographic one cannot keep."""
        if fill == "tomographic" and kernel.shape[-1] == kernel.shape[-2] > 1:
            self.residuals.append(projection_residual(tomographic_kernel(kernel)))

    def dispense(self, prefix: str) -> None:
        """A layer whose kernel does not move needs no motion."""
        self.dispensable |= {name for name in self.source.state if name.startswith(f"{prefix}predictor.")}
        self.dispensable.add(f"{prefix}running_motion")

    def misfit(self, name: str) -> None:
        given, here = self.source.state[name], self.current[name]
        self.misfits[name] = f"{tuple(given.shape)} in the checkpoint, {tuple(here.shape)} in the network"

    def exact(self, name: str, given: Tensor | None = None, kind: str = "transferred") -> None:
        """Copy an entry of the same shape."""
        given = self.take(name) if given is None else given
        if given is not None and given.shape == self.current[name].shape:
            self.put(name, given, kind)
        elif given is not None:
            self.misfit(name)
        elif name.endswith("num_batches_tracked"):
            self.put(name, torch.zeros_like(self.current[name]), "missing")
        else:
            self.absent.append(name)


def plan_layer(plan: Plan, layer: nn.Module, prefix: str, is_stem: bool) -> None:
    """Decide for every entry of one layer.

    Args:
        layer: a `CrossDConv` with its predictor, or a module with parameters or buffers of its own.
        prefix: of its entries in the network's state dict, `""` or ending in a dot.
        is_stem: whether it is the first convolution, whose number of input channels may be adapted.
    """
    names = [name for name in plan.current if name.startswith(prefix)]
    if isinstance(layer, CrossDConv):
        _crossd(plan, layer, prefix, names, is_stem)
    elif isinstance(layer, CONVOLUTIONS):
        _convolution(plan, layer, prefix, is_stem)
    elif isinstance(layer, TRANSPOSED):
        _transposed(plan, layer, prefix)
    else:
        for name in own_entries(layer, prefix):
            plan.exact(name)


def own_entries(module: nn.Module, prefix: str) -> list[str]:
    """Names in the state dict of the module's own parameters and buffers, without those of its children."""
    tensors = {**module._parameters, **module._buffers}
    kept = [name for name, value in tensors.items() if value is not None]
    return [f"{prefix}{name}" for name in kept if name not in module._non_persistent_buffers_set]


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """Change the number of input channels (axis 1): summed for one, otherwise repeated cyclically and rescaled.

    >>> adapt_channels(torch.tensor([[1.0, 2.0, 3.0]]), 1), adapt_channels(torch.tensor([[1.0, 2.0, 3.0]]), 4)
    (tensor([[6.]]), tensor([[0.7500, 1.5000, 2.2500, 0.7500]]))
    """
    given = weight.shape[1]
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(channels) % given] * (given / channels)


def _crossd(plan: Plan, layer: CrossDConv, prefix: str, names: list[str], is_stem: bool) -> None:
    weight = f"{prefix}weight"
    given = plan.take(weight)
    if given is None:
        for name in names:
            if name in (weight, f"{prefix}bias"):
                plan.absent.append(name)
            else:  # what a missing layer predicts is nobody's loss
                plan.put(name, plan.current[name], "missing")
        return
    stored = prefix in plan.source.stored
    kind = "transferred"
    given, adapted = _stem(plan, layer, given, is_stem)
    if given.dim() == 4:
        if len(set(given.shape[2:])) != 1:
            return plan.misfit(weight)
        fill = plan.fill or "centre"
        plan.measure(given, fill)
        given = embed_kernel(given, alignment=layer.alignment, motion=layer.motion, fill=fill)
        kind = "inflated"
        plan.notes[f"A plain 2D kernel became U (fill={fill!r}); layers: {{n}}."] += 1
    elif given.shape == layer.weight.shape and not stored and layer.predictor is not None:
        given, plain = embed_kernel(given, alignment=layer.alignment, motion=layer.motion), given
        kind = "transferred" if torch.equal(given, plain) else "adapted"
        plan.notes["A plain 3D kernel became U, stored so that θ = 0 gives it back; layers: {n}."] += 1
    plan.exact(weight, given, "adapted" if adapted else kind)
    _bias(plan, prefix, layer.bias is not None)

    if layer.predictor is None:  # a pointwise kernel does not move: its predictor has no effect
        plan.dispense(prefix)
        return
    motion = f"{prefix}running_motion"
    if (running := plan.take(motion)) is not None:
        plan.exact(motion, running)
    else:
        plan.put(motion, torch.zeros_like(plan.current[motion]), "missing")
        plan.notes["running_motion is not in the checkpoint: set to 0 (= rest); layers: {n}."] += 1
    for name in names:
        if name.startswith(f"{prefix}predictor."):
            if stored:
                _predictor(plan, name, name.removeprefix(prefix), layer.in_channels if adapted else None)
            elif name.startswith(f"{prefix}predictor.3."):
                # Its angle becomes 0 for every input, so the kernel rests. Its axis stays as initialised: were it zero
                # too, no gradient would ever reach either of them.
                value = plan.current[name].clone()
                value[3] = 0
                plan.put(name, value, "reinitialised")
            else:
                plan.put(name, plan.current[name].clone(), "missing")
    if not stored:
        plan.notes["No predictor is in the checkpoint: as initialised, with its angle set to 0; layers: {n}."] += 1


def _predictor(plan: Plan, name: str, entry: str, channels: int | None) -> None:
    """One entry of a predictor in the checkpoint. Official ones are 1×1 convolutions."""
    given = plan.take(name)
    adapted = channels is not None and entry == "predictor.0.weight"
    if given is not None and given.dim() == 4 and given.shape[2:] == (1, 1):
        given = given.flatten(1)
    if given is not None and given.dim() == 2 and adapted:
        given = adapt_channels(given, channels or 0)
    plan.exact(name, given, "adapted" if adapted else "transferred")


def _convolution(plan: Plan, layer: Any, prefix: str, is_stem: bool) -> None:
    weight = f"{prefix}weight"
    given = plan.take(weight)
    if given is None:
        plan.absent.extend(own_entries(layer, prefix))
        return
    stored = prefix in plan.source.stored
    kind = "transferred"
    given, adapted = _stem(plan, layer, given, is_stem)
    axes = layer.weight.dim()
    if given.dim() == 4 and axes == 5:
        mode = plan.fill or "mean"
        plan.measure(given, mode)
        given = inflate_kernel(given, mode, depth=layer.weight.shape[2])
        kind = "inflated"
        plan.notes[f"A 2D kernel was inflated along depth ({mode!r}); layers: {{n}}."] += 1
    elif given.dim() == 5 and axes == 4 and given.shape[2:] == (1, 1, 1):
        given = given.squeeze(2)
    elif given.dim() == 5 and stored:
        plan.notes[
            "U was copied raw (the official transfer); for the kernel that 2D training shaped, load into CrossDConv "
            "layers and crossd.fold() them; layers: {n}."
        ] += 1
    if stored:
        plan.dispense(prefix)
    plan.exact(weight, given, "adapted" if adapted else kind)
    _bias(plan, prefix, layer.bias is not None)


def _transposed(plan: Plan, layer: Any, prefix: str) -> None:
    given = plan.source.state.get(f"{prefix}weight")
    if given is None or given.dim() == layer.weight.dim():
        for name in own_entries(layer, prefix):
            plan.exact(name)
        return
    fresh = copy.deepcopy(layer)
    fresh.reset_parameters()
    for name in own_entries(layer, prefix):
        plan.put(name, fresh.state_dict()[name.removeprefix(prefix)], "reinitialised")
        plan.dispensable.add(name)
    plan.notes["Transposed convolutions have no 2D/3D counterpart: initialised afresh; layers: {n}."] += 1


def _stem(plan: Plan, layer: Any, given: Tensor, is_stem: bool) -> tuple[Tensor, bool]:
    """Adapt the first convolution to the network's number of input channels."""
    channels = layer.weight.shape[1]
    if not is_stem or layer.groups != 1 or given.dim() < 4 or given.shape[1] == channels:
        return given, False
    if channels == 1:
        plan.notes[
            f"The first convolution was summed over its {given.shape[1]} input channels for one: {plan.in_grey}."
        ] += 1
    else:
        plan.notes[
            f"The first convolution's {given.shape[1]} input channels were repeated cyclically and scaled by "
            f"{given.shape[1]}/{channels}: approximate."
        ] += 1
    return adapt_channels(given, channels), True


def _bias(plan: Plan, prefix: str, expected: bool) -> None:
    """A convolution without a bias is one with bias 0."""
    name = f"{prefix}bias"
    if not expected:
        return
    if name in plan.source.state:
        plan.exact(name)
    else:
        plan.put(name, torch.zeros_like(plan.current[name]), "missing")
        plan.notes["The checkpoint's convolution has no bias: set to 0; layers: {n}."] += 1
