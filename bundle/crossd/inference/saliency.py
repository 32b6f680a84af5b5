"""Grad-CAM over a volume of any size: MONAI's, window by window, stitched as the evidence of the windows is."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from monai.visualize import GradCAM
from monai.visualize.visualizer import default_upsampler
from torch import Tensor, nn

from crossd.errors import one_of
from crossd.inference.backends import Accelerated
from crossd.inference.window_inferer import WindowInferer
from crossd.inference.window_map import WindowMap, coverage

METHODS = ("gradcam",)


class WindowGradCAM:
    r"""Grad-CAM of each window of a volume as one map.

    Per window, MONAI's `GradCAM` gives $\mathrm{relu}(\sum_c \bar g_c a_c)$ on the cells of a layer: its activations
    $a_c$, weighted by the mean gradient $\bar g_c$ of the class's logit. It is interpolated linearly to the window, as
    MONAI does, and each voxel gets the mean over the windows that cover it. There is no scaling within a window
    (MONAI's default, which also turns the map upside down), so windows can be compared with each other.

    Args:
        network: maps `(batch, channel, *spatial)` to logits `(batch, classes)`. A copy is used, since `GradCAM` leaves
            hooks behind; of an `Accelerated` network the one in PyTorch, as runtimes give no gradients.
        layer: name of the module whose activations are shown, for instance "layer4"; None: the network's `last_stage`.

    Raises:
        CrossDError: when the network has no such module.

    Source: Selvaraju et al., Grad-CAM, https://arxiv.org/abs/1610.02391

    >>> import crossd
    >>> saliency = WindowGradCAM(crossd.CrossDResNet(3, 1, 2, depth=10, width=4), "layer3")
    >>> saliency(torch.rand(1, 16, 16, 24), WindowInferer(roi_size=16, overlap=0.5), class_index=1)().shape
    torch.Size([16, 16, 24])
    """

    def __init__(self, network: nn.Module, layer: str | None = None) -> None:
        plain = copy.deepcopy(network.network if isinstance(network, Accelerated) else network).requires_grad_(True)
        layer = layer or str(getattr(plain, "last_stage", None))
        one_of("saliency_layer", layer, [name for name, _ in plain.named_modules() if name])
        self.plain = plain.eval()
        self.cam = GradCAM(plain, layer)

    def __call__(self, image: Tensor, inferer: WindowInferer, class_index: int) -> WindowMap:
        """The map of a volume `(channel, depth, height, width)` for a class."""
        found: list[Tensor] = []

        def record(batch: Tensor) -> Tensor:
            with torch.enable_grad():
                found.append(self.cam.compute_map(batch, class_idx=class_index)[:, 0].detach().float().cpu())
            return batch.new_zeros(len(batch), 1)  # logits that nothing reads

        every = copy.copy(inferer)
        every.skip_background = every.progress = False
        every.flips = ()
        device = next(self.plain.parameters()).device
        windows = every.windows(image[None].to(device), record)
        shares = [
            _per_cell(share, first.unique() - pad, extent, cells)
            for share, first, pad, extent, cells in zip(
                coverage(windows.starts, windows.window, windows.shape, windows.before),
                windows.starts.unbind(1),
                windows.before,
                windows.window,
                found[0].shape[1:],
                strict=True,
            )
        ]
        return WindowMap(
            _on_axes(torch.cat(found), [len(s.unique()) for s in windows.starts.unbind(1)]),
            tuple(shares),
            probability=False,
        )


def _per_cell(share: Tensor, first: Tensor, extent: int, cells: int) -> Tensor:
    """Shares of windows `(voxels, starts)` to those of their cells `(voxels, starts · cells)`."""
    across = default_upsampler((extent,))(torch.eye(cells)[None])[0].T  # (voxels of a window, cells)
    inside = (torch.arange(len(share))[:, None] - first).clamp(0, extent - 1)
    return (share[:, :, None] * across[inside]).flatten(1)


def _on_axes(cams: Tensor, starts: Sequence[int]) -> Tensor:
    """`(windows, a, b, c)` to `(starts · a, starts · b, starts · c)`: windows in front, their cells within."""
    a, b, c = cams.shape[1:]
    grid = cams.reshape(*starts, a, b, c).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(starts[0] * a, starts[1] * b, starts[2] * c)
