"""How the kernels of a network stand: which motion they get where none is predicted, and what axis images hide."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from crossd.conv.layer import CrossDConv
from crossd.errors import CrossDError, one_of
from crossd.motion import ALIGNMENTS, motion_in_volume

AXES = (0, 1, 2)


def set_alignment(network: nn.Module, alignment: str) -> nn.Module:
    """Set the alignment of every `CrossDConv` in `network`, in place, and return it.

    Where it is not `"dynamic"` the predictors no longer require gradient, so that optimisers and
    `DistributedDataParallel` skip them.

    >>> set_alignment(CrossDConv(2, 1, 1, 3), "rest").alignment
    'rest'
    """
    one_of("alignment", alignment, ALIGNMENTS)
    for module in network.modules():
        if isinstance(module, CrossDConv):
            module.alignment = alignment
            if module.predictor is not None:
                module.predictor.requires_grad_(alignment == "dynamic")
    return network


@torch.no_grad()
def calibrate(network: nn.Module, images: Iterable[Tensor]) -> nn.Module:
    """Re-estimate `running_motion` of every layer as the exact mean over images, or over volumes.

    With the images of 2D training this repeats, exactly, what training averages. With the volumes of a task it aligns
    the kernels to what they will see; the predictors are pointwise, so they are the same in 2D and 3D.

    Args:
        network: a 2D network with `alignment="dynamic"`, or a 3D one with `"dynamic"` or `"running"`; changed in place.
            It runs in evaluation mode, and with `"running"` at the motions it had before.
        images: batches `(batch, channel, height, width)`, or of volumes `(batch, channel, depth, height, width)`.

    Returns:
        The network.

    Raises:
        CrossDError: for a network without such layers, or no images.

    >>> layer = calibrate(CrossDConv(2, 1, 4, 3), [torch.randn(8, 1, 9, 9)])
    >>> bool(layer.running_motion.abs().sum() > 0)
    True
    """
    layers = [module for module in network.modules() if isinstance(module, CrossDConv) and _averages(module)]
    if not layers:
        raise CrossDError(
            'calibrate() needs a 2D network with alignment="dynamic", whose motions it averages, or a 3D one with '
            '"running" or "dynamic"; found no such layer. Choose one of these by crossd.set_alignment().'
        )
    sums = {layer: torch.zeros(3, dtype=torch.float64, device=layer.weight.device) for layer in layers}
    counts = dict.fromkeys(layers, 0)

    def record(layer: CrossDConv, inputs: tuple[Tensor]) -> None:
        predictor = layer.predictor
        assert predictor is not None
        motion_vector = motion_in_volume(predictor(inputs[0]), layer.through_plane)
        sums[layer] += motion_vector.sum(0).double()
        counts[layer] += len(motion_vector)

    handles = [layer.register_forward_pre_hook(record) for layer in layers]
    was_training = network.training
    network.eval()
    try:
        for batch in images:
            network(batch)
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    if not any(counts.values()):
        raise CrossDError("calibrate() needs at least one batch of images; got none.")
    for layer in layers:
        running = layer.running_motion
        assert running is not None
        running.copy_((sums[layer] / max(counts[layer], 1)).to(running.dtype))
    return network


def _averages(layer: CrossDConv) -> bool:
    used = ("dynamic",) if layer.spatial_dims == 2 else ("dynamic", "running")
    return layer.predictor is not None and layer.alignment in used


def set_through_plane(network: nn.Module, axis: int) -> nn.Module:
    """Say which axis of `U` the images do not show, for every 2D `CrossDConv` in `network`, in place.

    The published operator lets it always be depth. Told that an image is coronal, a layer reads `U` with its height as
    the unseen axis, and so 2D training reaches the other directions too:

    | through-plane | rows, columns of the image | image    |
    |---------------|----------------------------|----------|
    | 0             | height, width              | axial    |
    | 1             | depth, width               | coronal  |
    | 2             | depth, height              | sagittal |

    Args:
        network: a 2D network; layers of 3D ones stay as they are.
        axis: of the table; a new layer has 0.

    Returns:
        The network.

    Raises:
        CrossDError: for another axis.

    >>> layer = CrossDConv(2, 1, 1, 3, alignment="raw")
    >>> torch.equal(set_through_plane(layer, 2).kernel(), layer.weight[..., 1])
    True
    """
    one_of("axis", axis, AXES)
    for module in network.modules():
        if isinstance(module, CrossDConv) and module.spatial_dims == 2:
            module.through_plane = axis
    return network


def random_through_plane(network: nn.Module, seed: int, step: int) -> int:
    """Draw the axis of one training step, set it and return it: the same for every layer, process and resumed run.

    >>> sorted(random_through_plane(CrossDConv(2, 1, 1, 3), seed=0, step=step) for step in range(6))
    [0, 0, 1, 1, 2, 2]
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step // len(AXES))
    axis = int(torch.randperm(len(AXES), generator=generator)[step % len(AXES)])  # each once in three steps
    set_through_plane(network, axis)
    return axis
