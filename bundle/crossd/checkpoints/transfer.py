"""`load_pretrained`: weights of another network, layout or number of dimensions, strictly and with a report."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor, nn

from crossd.checkpoints.checkpoint_files import read_checkpoint, state_entries, unwrap
from crossd.checkpoints.find_weights import entry_of
from crossd.checkpoints.layers import CONVOLUTIONS, TRANSPOSED, Plan, own_entries, plan_layer
from crossd.checkpoints.parameter_names import efficientnet_names, into_part, recognise, without_wrapper
from crossd.checkpoints.transfer_report import TransferReport, check_finite, check_kinds, shortened
from crossd.conv import CrossDConv
from crossd.conv.inflation import FILLS
from crossd.errors import CrossDError, one_of


@torch.no_grad()
def load_pretrained(
    network: nn.Module,
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    fill: str | None = None,
    strict_head: bool = False,
    allow_missing: Sequence[str] = (),
) -> TransferReport:
    """Load weights into a network, or into a single layer, in place.

    Recognised are official Cross-D checkpoints, our own, torchvision and RadImageNet 2D ResNets, MONAI and MedicalNet
    3D ResNets, EfficientNet-Lite of EfficientNet-PyTorch and timm, and any network with the same names. By layer of
    `network`:

    - `CrossDConv` takes a Cross-D weight as it is; a plain 2D kernel becomes `U` with the kernel in the slice that θ =
      0 brings to the middle, and the predicted angle is set to 0, so that a 2D network gives the source's logits; a
      plain 3D kernel becomes the `U` that gives it back at θ = 0.
    - `Conv3d` takes a 3D kernel as it is, a 2D kernel by I3D inflation, and a Cross-D weight raw (what the official
      code does).
    - The first convolution is adapted to the network's number of input channels: summed for one, otherwise repeated
      cyclically and rescaled (approximate).
    - The last layer is initialised afresh when the number of classes differs or the checkpoint has none.
    - A network that names one of its parts as `pretrained_part` (`CrossDUNet`: its encoder) also takes checkpoints of
      that part alone, those of classifiers without their last layer; its other parts stay as initialised.
    - Everything else must be there in the same shape.

    Args:
        network: changed in place, and only when everything fits.
        source: a checkpoint file, its content, or a state dict; what `crossd.pretrained` gives, or its name.
        fill: the other slices of an inflated 2D kernel, `"centre"` (zeros), `"mean"` (every slice the same) or
            `"tomographic"` (the 2D kernel is the projection along depth, exactly, and as nearly as possible those along
            height and width; the report says how nearly); by default `"centre"` in Cross-D layers and `"mean"` in plain
            convolutions. In 2D the last two give the source's logits under `view="projection"`.
        strict_head: raise instead of initialising the last layer afresh.
        allow_missing: patterns such as `"*.downsample.*"` of entries that may stay as initialised.

    Returns:
        What became of every entry of the network and of the checkpoint.

    Raises:
        CrossDError: when its numbers are no weights, or not finite; when the checkpoint does not fit, naming how many
            entries do and the first that do not; when it was trained with another `motion`; or when it cannot be read.
            The network is unchanged then.

    >>> flat, volume = nn.Conv2d(3, 8, 3), CrossDConv(3, 1, 8, 3)
    >>> print(load_pretrained(volume, flat.state_dict()))  # doctest: +ELLIPSIS
    plain 2D checkpoint → CrossDConv: 2 of 12 entries from the checkpoint
      transferred      1  bias
      adapted          1  weight
      reinitialised    2  predictor.3.weight, predictor.3.bias
      missing          8  running_motion, predictor.0.weight, predictor.0.bias, predictor.1.weight, … and 4 more
      note: The first convolution was summed over its 3 input channels for one: exact where they had the same ...
    """
    if fill is not None:
        one_of("fill", fill, FILLS)
    where, content = _content(source)
    network = unwrap(network)
    current = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    found = without_wrapper(recognise(content["model"]), current.__contains__)
    found = efficientnet_names(found, current.__contains__)
    part = str(getattr(network, "pretrained_part", ""))
    check_kinds(found.state, current, where)
    of_part = into_part(found, part, current.__contains__) if part else None
    found = of_part or found
    _check_motion(network, content.get("card"), found.stored, where)

    plan = Plan(found, current, fill)
    if (entry := entry_of(source)) is not None:
        plan.in_grey = entry.in_grey
    layers = _layers(network)
    if of_part is not None:
        follower = str(getattr(network, "part_follower", ""))
        layers = _only_part(plan, layers, part, follower, strict_head, where)
    stem = next((prefix for prefix, layer in layers.items() if isinstance(layer, CONVOLUTIONS)), None)
    for prefix, layer in layers.items():
        plan_layer(plan, layer, prefix, is_stem=prefix == stem)
    for name in set(current) - set(plan.kinds) - set(plan.misfits) - set(plan.absent):
        plan.exact(name)  # entries that a module adds to its state dict by itself
    if of_part is None:
        _plan_head(plan, layers, strict_head, where)
    for name in list(plan.absent):
        if any(fnmatch(name, pattern) for pattern in allow_missing):
            plan.absent.remove(name)
            plan.put(name, current[name], "missing")
            plan.notes["Not in the checkpoint, and kept as initialised by allow_missing; entries: {n}."] += 1
    _check_fit(plan, layers, f"{where}{found.layout} checkpoint", type(network).__name__)

    check_finite(plan.values, where)
    network.load_state_dict({**network.state_dict(), **plan.values})
    part_loaded = getattr(network, "part_loaded", None)
    if of_part is not None and callable(part_loaded):
        part_loaded()
    listed = {kind: tuple(name for name in current if plan.kinds[name] == kind) for kind in set(plan.kinds.values())}
    unused = tuple(found.given[name] for name in found.state if name not in plan.used)
    notes = tuple(note.format(n=count) for note, count in plan.notes.items())
    if off := sorted(plan.residuals):
        notes += (
            "Tomographic kernels have the 2D kernel as projection along depth; those along height and width are off by "
            f"{off[0]:.0%} to {off[-1]:.0%} of its norm, {off[len(off) // 2]:.0%} in the middle; layers: {len(off)}.",
        )
    return TransferReport(found.layout, type(network).__name__, **listed, unused=unused, notes=notes)  # type: ignore[arg-type]


def _content(source: Any) -> tuple[str, dict[str, Any]]:
    """Where it is from, for messages, and the checkpoint's entries with the state dict under `"model"`."""
    if isinstance(source, str | os.PathLike):
        return f"{os.fspath(source)}: ", read_checkpoint(source)
    entries = state_entries(source)
    if entries is None:
        raise CrossDError(
            f"Weights come from a checkpoint file or a state dict; got a {type(source).__name__} that holds none. Pass "
            "a path, or network.state_dict()."
        )
    return "", entries


def _layers(network: nn.Module) -> dict[str, nn.Module]:
    """Prefix → module, for every module with entries of its own; a `CrossDConv` counts with its predictor."""
    layers: dict[str, nn.Module] = {}
    inside: tuple[str, ...] = ()
    entries = network.state_dict()  # without what `MultiView` shares, which counts once
    for path, module in network.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        if not any(name.startswith(prefix) for name in entries):
            continue
        if isinstance(module, CrossDConv):
            inside += (prefix,)
            layers[prefix] = module
        elif own_entries(module, prefix) and not any(prefix.startswith(outer) for outer in inside):
            layers[prefix] = module
    return layers


def _only_part(
    plan: Plan, layers: dict[str, nn.Module], part: str, follower: str, strict: bool, where: str
) -> dict[str, nn.Module]:
    """The layers of the part that the checkpoint is of; the others stay as initialised, but what follows the part."""
    others = list(dict.fromkeys(name.partition(".")[0] for name in plan.current if not name.startswith(f"{part}.")))
    if strict:
        raise CrossDError(
            f"strict_head=True asks for a whole model; {where}the checkpoint is of the {part} only, the network has "
            f"{' and '.join(others)} too. Train it first, or pass strict_head=False."
        )
    for name, value in plan.current.items():
        if not name.startswith(f"{part}."):
            plan.put(name, value, "missing")
    others = [name for name in others if name != follower]
    stay = "stays" if len(others) == 1 else "stay"
    plan.notes[f"The checkpoint is of the {part} only: {' and '.join(others)} {stay} as initialised."] += 1
    if follower:
        plan.notes[f"{follower} shares the kernels of {part} and has its norms as copies."] += 1
    return {prefix: layer for prefix, layer in layers.items() if prefix.startswith(f"{part}.")}


def _check_motion(network: nn.Module, card: Any, stored: frozenset[str], where: str) -> None:
    """A weight trained under one motion means nothing under another."""
    trained = card.get("network", {}).get("motion", "shift") if isinstance(card, dict) and stored else None
    for name, layer in network.named_modules():
        if trained and isinstance(layer, CrossDConv) and layer.alignment != "raw" and layer.motion != trained:
            raise CrossDError(
                f"Cross-D weights keep the motion they were trained with; {where}its card says motion={trained!r}, but "
                f"{name or 'the layer'} has {layer.motion!r}. Build the network with motion={trained!r}."
            )


def _plan_head(plan: Plan, layers: dict[str, nn.Module], strict: bool, where: str) -> None:
    """Initialise the last layer afresh when it is absent, or differs in the number of outputs only."""
    with_parameters = [prefix for prefix, layer in layers.items() if any(True for _ in layer.parameters())]
    if len(with_parameters) < 2 or not isinstance(layers[with_parameters[-1]], (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)):
        return
    prefix = with_parameters[-1]
    head, weight = layers[prefix], f"{prefix}weight"
    given = plan.source.state.get(weight)
    here = plan.current[weight]
    if given is not None and (weight not in plan.misfits or given.shape[1] != here.shape[1] or given.dim() < 2):
        return
    if given is None and weight not in plan.absent:
        return
    there = "is not in the checkpoint" if given is None else f"has {given.shape[0]} outputs in the checkpoint"
    remedy = "Use another checkpoint" if given is None else f"Build the network with {given.shape[0]} classes"
    if strict:
        raise CrossDError(
            f"strict_head=True asks for the checkpoint's own last layer; {where}{weight} {there}, and "
            f"{here.shape[0]} in the network. {remedy}, or pass strict_head=False."
        )
    fresh: Any = copy.deepcopy(head)
    fresh.reset_parameters()
    for name, value in fresh.state_dict().items():
        name = f"{prefix}{name}"
        plan.put(name, value, "reinitialised")
        plan.misfits.pop(name, None)
        plan.used.discard(name)
    plan.dispensable |= {name for name in plan.source.state if name.startswith(prefix)}
    plan.absent = [name for name in plan.absent if not name.startswith(prefix)]
    plan.notes[f"The last layer was initialised afresh: {weight} {there}, and {here.shape[0]} in the network."] += 1


def _check_fit(plan: Plan, layers: dict[str, nn.Module], checkpoint: str, network: str) -> None:
    """Raise unless every entry of the network has a value and no entry of a part that it has is left over."""
    parts = {prefix.partition(".")[0] for prefix in layers}
    left_over = []
    for name in plan.source.state:
        of_the_network = name.rpartition(".")[0].partition(".")[0] in parts
        harmless = name in plan.dispensable or name.endswith("num_batches_tracked")
        if name not in plan.used and of_the_network and not harmless:
            left_over.append(plan.source.given[name])
    if not (plan.absent or plan.misfits or left_over):
        return
    loaded = sum(kind in ("transferred", "inflated", "adapted") for kind in plan.kinds.values())
    wanted = loaded + len(plan.absent) + len(plan.misfits)
    shapes = [f"{name} ({shapes})" for name, shapes in plan.misfits.items()]
    findings = [
        f"Missing in the checkpoint: {shortened(plan.absent)}." if plan.absent else "",
        f"Of another shape: {shortened(shapes, 2)}." if shapes else "",
        f"Not in the network: {shortened(left_over)}." if left_over else "",
    ]
    raise CrossDError(
        f"A checkpoint must fit the network it is loaded into; {checkpoint} fits {loaded} of "
        f"{wanted} entries of {network}. {' '.join(filter(None, findings))} Build the network with the "
        "depth, width and options of the checkpoint, or name entries that may stay as initialised, as in "
        'allow_missing=["*.downsample.*"].'
    )
