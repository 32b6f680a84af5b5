"""Pictures of learned kernels: as stored, how far each layer moves them, and how one moves with its input.

Drawn on matplotlib's `Figure`, not through pyplot: no display is needed and the user's own backend stays as it is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from crossd.errors import CrossDError, one_of
from crossd.motion import motion_matrix, move_kernel
from crossd.pictures.motions import displacement, moving_layers

COLOURS = ("#4477aa", "#ee6677", "#228833")
AXES = ("depth", "height", "width")


def kernels_at(network: nn.Module, layer: str, count: int, rows: str, motion_vectors: Tensor) -> Tensor:
    """The strongest kernels of a layer, those with the largest norm, moved.

    Args:
        network, layer: the layer is named by a key of `moving_layers(network)`.
        count: of kernels.
        rows: `"volume"`, or the 2D view `"slice"` or `"projection"`.
        motion_vectors: `(images, 3)`.

    Returns:
        `(images, count, K, K)`, or `(images, count, K, K, K)` for volumes.

    >>> from crossd import CrossDConv
    >>> kernels_at(CrossDConv(2, 3, 4, 5), "", 2, "slice", torch.zeros(6, 3)).shape
    torch.Size([6, 2, 5, 5])
    """
    found = moving_layers(network)[one_of("layer", layer, moving_layers(network))]
    size = found.kernel_size[0]
    stored = found.weight.detach().float().cpu().flatten(0, 1)
    strongest = stored.flatten(1).norm(dim=1).argsort(descending=True)[:count]
    matrix = motion_matrix(motion_vectors.float(), size, found.motion, rows)
    moved = move_kernel(stored[strongest].unsqueeze(1), matrix).squeeze(2)
    return moved.unflatten(2, [size] * (3 if rows == "volume" else 2))


def plot_stored(path: Path, network: nn.Module, layer: str, count: int = 8) -> None:
    """The strongest 3D kernels of a layer at its mean motion, one a column, its depth slices one a row."""
    found = moving_layers(network)[one_of("layer", layer, moving_layers(network))]
    assert found.running_motion is not None
    running = found.running_motion.detach().cpu()
    kernels = kernels_at(network, layer, count, "volume", running[None])[0]
    slices = kernels.shape[1]
    figure = _figure(1.1 * len(kernels), 1.1 * slices + 0.5)
    figure.suptitle(f"{layer}: {len(kernels)} of {found.weight.shape[:2].numel()} 3D kernels; rows are depth slices")
    grid = figure.subplots(slices, len(kernels), squeeze=False)
    for column, kernel in enumerate(kernels):
        for row in range(slices):
            _image(grid[row][column], kernel[row], kernel.abs().max())
    figure.savefig(path)


def plot_motions(path: Path, network: nn.Module, motions: dict[str, Tensor]) -> None:
    """How far each layer moves its kernel from rest: every image a dot, one row of dots per axis and layer."""
    layers = moving_layers(network)
    figure = _figure(8, 0.42 * len(motions) + 1.2)
    axes = figure.subplots()
    generator = torch.Generator().manual_seed(0)
    for row, (name, vectors) in enumerate(motions.items()):
        moved = displacement(layers[name], vectors)
        for axis in range(3):
            jitter = torch.rand(len(moved), generator=generator) * 0.2 + 0.25 * (axis - 1) - 0.1
            label = AXES[axis] if row == 0 else None
            axes.scatter(moved[:, axis], row + jitter, s=2, alpha=0.4, color=COLOURS[axis], label=label, linewidths=0)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(motions)), list(motions))
    axes.invert_yaxis()
    shifts = all(layers[name].motion == "shift" for name in motions)
    axes.set_xlabel("shift from rest (voxels)" if shifts else "rotation from rest about each axis (degrees)")
    axes.legend(loc="lower right", markerscale=5, title=f"{len(vectors)} images")
    figure.savefig(path)


def animate_kernels(
    path: Path, network: nn.Module, layer: str, images: Tensor, motion_vectors: Tensor, count: int = 6
) -> None:
    """A GIF: an input at the left, the 2D kernels that the layer makes for it at the right, one frame an input.

    Frames are in the order of the largest component of the motion, so that the eye can follow it.

    Args:
        images: `(images, channel, height, width)`; the first channel is shown.
        motion_vectors: what the layer predicts for them, `(images, 3)`.

    Raises:
        CrossDError: for volumes, or another number of images than motions.
    """
    from matplotlib.animation import FuncAnimation, PillowWriter

    if images.dim() != 4 or len(images) != len(motion_vectors):
        raise CrossDError(
            f"A kernel's motion is shown over images (images, channel, height, width), one motion each; got "
            f"{tuple(images.shape)} and {len(motion_vectors)} motions. Pass 2D images."
        )
    found = moving_layers(network)[one_of("layer", layer, moving_layers(network))]
    kernels = kernels_at(network, layer, count, found.view, motion_vectors)
    spread = motion_vectors.std(0) if len(motion_vectors) > 1 else torch.zeros(3)
    order = motion_vectors[:, int(spread.argmax())].argsort().tolist()
    columns = (count + 1) // 2
    figure = _figure(1.1 * columns + 2.4, 2.6)
    grid = figure.subplot_mosaic(
        [["input", *map(str, range(columns))], ["input", *map(str, range(columns, 2 * columns))]],
        width_ratios=[2.2, *[1] * columns],
    )

    def draw(frame: int) -> None:
        at = order[frame]
        axis = grid["input"]
        axis.clear()
        axis.imshow(images[at, 0].tolist(), cmap="gray")
        axis.set_axis_off()
        moved = ", ".join(f"{value:+.2f}" for value in displacement(found, motion_vectors[at][None])[0].tolist())
        unit = "voxels" if found.motion == "shift" else "degrees"
        axis.set_title(f"{layer}\n{moved} {unit}", fontsize="small")
        for index in range(2 * columns):
            panel = grid[str(index)]
            panel.clear()
            panel.set_axis_off()
            if index < kernels.shape[1]:
                _image(panel, kernels[at, index], kernels[:, index].abs().max())

    FuncAnimation(figure, draw, frames=len(order)).save(path, writer=PillowWriter(fps=3), dpi=50)


def _image(axis: object, values: Tensor, most: Tensor) -> None:
    limit = float(most) or 1.0
    axis.imshow(values.tolist(), cmap="RdBu_r", vmin=-limit, vmax=limit)  # type: ignore[attr-defined]
    axis.set_axis_off()  # type: ignore[attr-defined]


def _figure(width: float, height: float):  # type: ignore[no-untyped-def]
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
