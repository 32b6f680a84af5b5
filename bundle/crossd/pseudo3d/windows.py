"""Every window of an image unrolled into depth, and the way back.

Source: Gao et al., "Cross-Dimensional Medical Self-Supervised Representation Learning Based on a Pseudo-3D
Transformation" (MICCAI 2024, arXiv 2406.00947), Fig. 2b. What it does not publish is ours: padding, the values of
`kernel_size`, `stride` and `padding`, channels apart, the depth-first layout, and the inverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import torch
import torch.nn.functional as F
from monai.config import NdarrayOrTensor
from monai.utils import convert_to_tensor
from torch import Tensor

from crossd.errors import CrossDError, one_of

# where depth stands among the three spatial axes: first, as everywhere here, or last, as published
DEPTH_AXES = (0, -1)


def check_windows(kernel_size: int, stride: int, padding: int, depth_axis: int) -> None:
    """Refuse what describes no windows, whatever the image."""
    for name, value, least in (("kernel_size", kernel_size, 1), ("stride", stride, 1), ("padding", padding, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise CrossDError(
                f"`{name}` must be a whole number of pixels, {least} or more, got {value!r}. Windows are square: pass "
                "one number. Example: kernel_size=4, stride=2, padding=1."
            )
    one_of("depth_axis", depth_axis, DEPTH_AXES)


def window_grid(image_size: Sequence[int], kernel_size: int, stride: int, padding: int) -> tuple[int, int]:
    """How many windows fit into an image `(height, width)`: `⌊(size + 2·padding − kernel_size) / stride⌋ + 1` each way.

    Raises:
        CrossDError: when the padded image is smaller than one window.

    >>> window_grid((128, 192), kernel_size=4, stride=2, padding=1)
    (64, 96)
    """
    height, width = (int(size) for size in image_size)
    largest = min(height, width) + 2 * padding
    if kernel_size > largest:
        raise CrossDError(
            f"A window must fit into the image: kernel_size {kernel_size} is larger than an image of {height} × "
            f"{width} pixels with padding {padding}. Pass a kernel_size of {max(largest, 0)} or less, or larger images."
        )
    return (height + 2 * padding - kernel_size) // stride + 1, (width + 2 * padding - kernel_size) // stride + 1


def pseudo_3d(
    images: NdarrayOrTensor, kernel_size: int = 4, stride: int = 2, padding: int = 1, depth_axis: int = 0
) -> Tensor:
    """Images as volumes: what a sliding window sees, unrolled into depth.

        volume[…, d, i, j] = image[…, i·stride + ⌊d / kernel_size⌋ − padding, j·stride + d mod kernel_size − padding]

    with 0 outside of the image and `d` from 0 to `kernel_size² − 1`; channels stay apart. Neighbours along depth are
    neighbours in a row of the window, and every `kernel_size`-th step leads to the next row.

    Args:
        images: `(channel, height, width)` or `(batch, channel, height, width)`, of any type and on any device.
        kernel_size: sides of the window, pixels.
        stride: from window to window, pixels.
        padding: zeros around the image, pixels.
        depth_axis: 0 for `(…, depth, height, width)`; -1 for `(…, height, width, depth)`, the published layout.

    Returns:
        A copy, `(…, channel, kernel_size², height', width')` with `window_grid(…)` for height' and width'. Gradients
        flow through it. Metadata does not: that is for `Pseudo3D`.

    Raises:
        CrossDError: for images with other axes, a window larger than the padded image, and numbers that are no pixels.

    >>> image = torch.arange(12).reshape(1, 3, 4)  # (channel, height, width)
    >>> volume = pseudo_3d(image, kernel_size=2, stride=1, padding=0)
    >>> volume.shape  # (channel, depth, height, width)
    torch.Size([1, 4, 2, 3])
    >>> volume[0, :, 0, 0].tolist()  # the window in the corner
    [0, 1, 4, 5]
    >>> pseudo_3d(image, kernel_size=2, stride=1, padding=0, depth_axis=-1).shape
    torch.Size([1, 2, 3, 4])
    """
    check_windows(kernel_size, stride, padding, depth_axis)
    plain: Tensor = convert_to_tensor(images, track_meta=False)
    if plain.ndim not in (3, 4):
        raise CrossDError(
            "Images are (channel, height, width) or (batch, channel, height, width), got the shape "
            f"{tuple(plain.shape)}. Add a channel with image[None]; a volume needs no pseudo-3D transformation."
        )
    window_grid(plain.shape[-2:], kernel_size, stride, padding)
    padded = F.pad(plain, (padding,) * 4)
    # (…, height', width', row, column)
    windows = padded.unfold(-2, kernel_size, stride).unfold(-2, kernel_size, stride)
    if depth_axis == 0:
        return windows.movedim((-2, -1), (-4, -3)).clone(memory_format=torch.contiguous_format).flatten(-4, -3)
    return windows.clone(memory_format=torch.contiguous_format).flatten(-2)


def pseudo_3d_inverse(
    volumes: NdarrayOrTensor,
    image_size: Sequence[int],
    kernel_size: int = 4,
    stride: int = 2,
    padding: int = 1,
    depth_axis: int = 0,
) -> tuple[Tensor, Tensor]:
    """Pseudo-3D volumes as images: each pixel is the mean of the voxels that show it.

    The mean is a running one, `m ← m + (x − m) / n`, so that equal voxels give their value exactly. Whole numbers are
    averaged in float64 and rounded, half precision in float32.

    Args:
        volumes: `(channel, depth, height', width')` or `(batch, channel, depth, height', width')`, or depth last.
        image_size: `(height, width)` of the images, pixels.
        kernel_size, stride, padding, depth_axis: as for `pseudo_3d`.

    Returns:
        The images, `(…, channel, height, width)`, 0 where no window reaches; and `(height, width)`, True there: at the
        lower and right border where the stride does not divide `size + 2·padding − kernel_size`, and between windows
        where it is larger than they are.

    Raises:
        CrossDError: when the shape is not the one that these windows give.

    >>> image = torch.arange(12.0).reshape(1, 3, 4)
    >>> volume = pseudo_3d(image, kernel_size=3, stride=2, padding=0)
    >>> restored, uncovered = pseudo_3d_inverse(volume, (3, 4), kernel_size=3, stride=2, padding=0)
    >>> restored[0, 0].tolist(), uncovered[0].tolist()  # the last column is in no window
    ([0.0, 1.0, 2.0, 0.0], [False, False, False, True])
    """
    check_windows(kernel_size, stride, padding, depth_axis)
    plain: Tensor = convert_to_tensor(volumes, track_meta=False)
    rows, columns = window_grid(image_size, kernel_size, stride, padding)
    depth = kernel_size * kernel_size
    expected = (depth, rows, columns) if depth_axis == 0 else (rows, columns, depth)
    if plain.ndim not in (4, 5) or tuple(plain.shape[-3:]) != expected:
        raise CrossDError(
            f"Windows of {kernel_size} × {kernel_size} pixels, stride {stride} and padding {padding} over an image of "
            f"{' × '.join(map(str, image_size))} pixels give volumes (channel, {', '.join(map(str, expected))}), with "
            f"or without a batch axis before; got the shape {tuple(plain.shape)}. Pass the numbers that made them."
        )
    voxels = plain if depth_axis == 0 else plain.movedim(-1, -3)  # (…, channel, depth, height', width')
    precision = torch.promote_types(plain.dtype, torch.float32) if plain.is_floating_point() else torch.float64
    voxels = voxels.to(precision)
    height, width = (int(size) for size in image_size)
    mean = voxels.new_zeros(*voxels.shape[:-3], height + 2 * padding, width + 2 * padding)
    count = voxels.new_zeros(height + 2 * padding, width + 2 * padding)
    for index in range(depth):
        row, column = divmod(index, kernel_size)
        at = (
            ...,
            slice(row, row + stride * (rows - 1) + 1, stride),
            slice(column, column + stride * (columns - 1) + 1, stride),
        )
        count[at] += 1
        mean[at] += (voxels[..., index, :, :] - mean[at]) * count[at].reciprocal()
    inside = (..., slice(padding, padding + height), slice(padding, padding + width))
    images = mean[inside] if plain.is_floating_point() else mean[inside].round()
    return images.to(plain.dtype).contiguous(), count[inside] == 0
