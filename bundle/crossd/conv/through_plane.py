"""Which axis of the stored 3D kernel an image's through-plane axis is: axial, coronal and sagittal images share `U`.

An image has two axes, rows and columns, and a third that it does not show. The published operator lets that third axis
always be the depth of `U`. Told that an image is coronal, a layer reads `U` with its height as the unseen axis, and so
2D training reaches the other directions too:

| through-plane | rows, columns of the image | image    |
|---------------|----------------------------|----------|
| 0             | height, width              | axial    |
| 1             | depth, width               | coronal  |
| 2             | depth, height              | sagittal |

3D layers are not concerned: a volume shows all axes.
"""

from __future__ import annotations

import torch
from torch import nn

from crossd.conv.layer import CrossDConv
from crossd.errors import one_of

AXES = (0, 1, 2)


def set_through_plane(network: nn.Module, axis: int) -> nn.Module:
    """Say which axis of `U` the images do not show, for every 2D `CrossDConv` in `network`, in place.

    Args:
        network: a 2D network; layers of 3D ones stay as they are.
        axis: 0 depth (axial images, the default of a new layer), 1 height (coronal), 2 width (sagittal).

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
    """Draw the axis of one training step and set it: the same for every layer, process and resumed run.

    Args:
        network: a 2D network, changed in place.
        seed: of the run.
        step: its number.

    Returns:
        The axis.

    >>> sorted(random_through_plane(CrossDConv(2, 1, 1, 3), seed=0, step=step) for step in range(6))
    [0, 0, 1, 1, 2, 2]
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step // len(AXES))
    axis = int(torch.randperm(len(AXES), generator=generator)[step % len(AXES)])  # each once in three steps
    set_through_plane(network, axis)
    return axis
