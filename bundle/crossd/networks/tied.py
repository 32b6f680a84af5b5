"""A 2D and a 3D network of the same layers, tied: their parameters are the same tensors, not equal ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from crossd.conv import CrossDConv
from crossd.errors import CrossDError


def tie(source: nn.Module, target: nn.Module, head: str, norms: bool = True, statistics: bool = True) -> None:
    """Give the target the very parameters and buffers of the source, in place, but for the head.

    A step that moves one then moves the other. `.to()` makes new buffers: tie again after it.

    Args:
        source, target: `CrossDConv` networks of the same layers, see `check_twins`.
        head: name of the last layer, which either keeps.
        norms: whether the weights of norm layers are shared.
        statistics: whether running means and variances of batch norms are. Those within predictors that only images
            ask are shared anyway.
    """
    theirs = dict(target.named_modules())
    for name, module in source.named_modules():
        if name == head or name.startswith(f"{head}."):
            continue
        twin = theirs[name]
        is_norm = isinstance(module, _NormBase | nn.GroupNorm) and not _images_alone(source, target, name)
        if norms or not is_norm:
            twin._parameters.update(_of_same_shape(module._parameters, twin._parameters))
        if statistics or not is_norm:
            twin._buffers.update(_of_same_shape(module._buffers, twin._buffers))


def _of_same_shape(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Those that both have alike: not the plain 2D and 3D kernels of a folded network."""
    same = {name for name, value in mine.items() if value is not None and theirs.get(name) is not None}
    return {name: mine[name] for name in same if mine[name].shape == theirs[name].shape}


def _images_alone(source: nn.Module, target: nn.Module, name: str) -> bool:
    """Whether a norm belongs to a predictor that the volumes do not ask."""
    layers = [network.get_submodule(name.rpartition(".predictor")[0]) for network in (source, target)]
    of_volumes = [layer for layer in layers if isinstance(layer, CrossDConv) and layer.spatial_dims == 3]
    return ".predictor" in f".{name}" and any(layer.alignment != "dynamic" for layer in of_volumes)


def crossd_layers(network: nn.Module) -> dict[str, CrossDConv]:
    """The Cross-D layers of a network, by name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, CrossDConv)}


def check_twins(volumes: nn.Module, images: nn.Module, head: str) -> None:
    """Refuse networks that cannot be tied.

    Raises:
        CrossDError: for networks without Cross-D layers, or of other layers than each other.
    """
    dims = [{layer.spatial_dims for layer in crossd_layers(network).values()} for network in (volumes, images)]
    if dims != [{3}, {2}]:
        raise CrossDError(
            "Cross-D kernels are shared between a 3D and a 2D network, got "
            f"{type(volumes).__name__} and {type(images).__name__} with layers of {dims[0] or 'no'} and "
            f"{dims[1] or 'no'} dimensions. Build both as the same class, such as crossd.CrossDResNet."
        )
    shapes = [
        {name: tuple(value.shape) for name, value in network.state_dict().items() if not name.startswith(f"{head}.")}
        for network in (volumes, images)
    ]
    other = sorted(name for name in {*shapes[0], *shapes[1]} if shapes[0].get(name) != shapes[1].get(name))
    motions = [
        {(layer.motion, layer.predictor and layer.predictor.max_angle) for layer in crossd_layers(network).values()}
        for network in (volumes, images)
    ]
    if other or motions[0] != motions[1]:
        what = (
            f"{len(other)} entries, {other[0]} among them," if other else f"the motions {motions[0]} and {motions[1]}"
        )
        raise CrossDError(
            f"A 3D and a 2D network that share kernels have the same layers, got other ones: {what} differ. Give "
            "both the same depth, width, channels, stem, motion and max_angle."
        )


def drop_shared(network: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Hook after `state_dict` of a network with `backbone` and `volume`: what they share stands there once."""
    for name in shared(network, prefix):
        state.pop(name, None)


def add_shared(network: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Hook before `load_state_dict` of such a network: what they share is given to both."""
    for name, there in shared(network, prefix).items():
        if there in state:
            state.setdefault(name, state[there])


def shared(network: nn.Module, prefix: str = "") -> dict[str, str]:
    """Entries of the 3D side that are tensors of the backbone, and their names there."""
    mine, theirs = (dict(_own(network.get_submodule(side))) for side in ("backbone", "volume"))
    return {f"{prefix}volume.{name}": f"{prefix}backbone.{name}" for name in theirs if mine.get(name) is theirs[name]}


def tie_again(network: nn.Module, names: Mapping[str, str]) -> None:
    """Make entries the same tensors that were, see `shared`: `.to()` makes new buffers of either side."""
    for name, there in names.items():
        (path, _, last), (other, _, same) = name.rpartition("."), there.rpartition(".")
        mine, theirs = network.get_submodule(path), network.get_submodule(other)
        kind = "_parameters" if last in mine._parameters else "_buffers"
        getattr(mine, kind)[last] = getattr(theirs, kind)[same]


def _own(side: nn.Module) -> list[tuple[str, Tensor]]:
    return [*side.named_parameters(remove_duplicate=False), *side.named_buffers(remove_duplicate=False)]
