"""What each layer of a network predicts over a data set: the motion of its kernel, image by image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from crossd.conv import CrossDConv
from crossd.errors import CrossDError
from crossd.motion import translation


def moving_layers(network: nn.Module) -> dict[str, CrossDConv]:
    """The layers whose kernel can move, by name: every `CrossDConv` with `K > 1`.

    Raises:
        CrossDError: when there are none.

    >>> list(moving_layers(nn.Sequential(CrossDConv(2, 1, 2, 3), CrossDConv(2, 2, 2, 1))))
    ['0']
    """
    layers = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, CrossDConv) and module.predictor is not None
    }
    if not layers:
        raise CrossDError(
            f"Only Cross-D layers with a kernel larger than 1 move; {type(network).__name__} has none. Pass a network "
            "of Cross-D convolutions, such as crossd.CrossDResNet."
        )
    return layers


@torch.no_grad()
def predicted_motions(network: nn.Module, batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """The motion vectors `v = θ·k` that each layer predicts, whatever alignment it then uses.

    Args:
        network: runs in evaluation mode, and is left in the mode it was in.
        batches: `(batch, channel, *spatial)`.

    Returns:
        By layer, `(images, 3)` along (depth, height, width), in radians.

    Raises:
        CrossDError: for a network without such layers, or no images.

    >>> motions = predicted_motions(CrossDConv(2, 1, 4, 3), [torch.randn(5, 1, 9, 9)])
    >>> motions[""].shape
    torch.Size([5, 3])
    """
    found: dict[str, list[Tensor]] = {name: [] for name in moving_layers(network)}

    with _in_evaluation(network), _recording(network, found):
        for batch in batches:
            network(batch)
    if not all(found.values()):
        raise CrossDError(
            f"Motions are predicted from images that reach the layers; got none for {next(iter(found)) or 'it'}. Pass "
            "at least one batch."
        )
    return {name: torch.cat(parts).float().cpu() for name, parts in found.items()}


@contextmanager
def _recording(network: nn.Module, found: dict[str, list[Tensor]]) -> Iterator[None]:
    def record(name: str) -> object:
        def hook(layer: CrossDConv, inputs: tuple[Tensor]) -> None:
            assert layer.predictor is not None
            found[name].append(layer.predictor(inputs[0]))

        return hook

    handles = [layer.register_forward_pre_hook(record(name)) for name, layer in moving_layers(network).items()]  # type: ignore[arg-type]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _in_evaluation(network: nn.Module) -> Iterator[None]:
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


def displacement(layer: CrossDConv, motion_vectors: Tensor) -> Tensor:
    """How far a layer's kernel is moved from its rest, in the unit of its motion.

    Args:
        layer: of `motion` `"shift"` or `"rotate"`.
        motion_vectors: `(images, 3)`.

    Returns:
        `(images, 3)` along (depth, height, width): voxels for a shift, `t − (1, 1, 1)`; degrees about each axis for a
        rotation.

    >>> displacement(CrossDConv(2, 1, 1, 3), torch.tensor([[0.5, 0.0, 0.0]]))
    tensor([[ 0.0000,  0.5000, -0.5000]])
    """
    if layer.motion == "shift":
        return translation(motion_vectors) - 1
    return torch.rad2deg(motion_vectors)
