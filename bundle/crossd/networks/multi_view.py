"""`MultiView`: one set of Cross-D kernels sees a volume three ways, itself, in slices and in projections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from crossd.errors import CrossDError, one_of
from crossd.networks.classifiers import build_classifier
from crossd.networks.images_of_volumes import KINDS, along_axis, projections, resize, slice_indices, slices, square_axes
from crossd.networks.images_of_volumes import directions as looking_along
from crossd.networks.tied import add_shared, check_twins, drop_shared, shared, tie, tie_again
from crossd.networks.view_pooling import ViewPooling

VIEWS = ("volume", "slices", "projections")


class MultiView(nn.Module):
    """A classifier of volumes over a 2D and a 3D network whose convolutions are the same tensors.

        logits = fc([pool over slices f₂(slice) | pool over projections f₂(projection) | f₃(volume)])

    f₂ and f₃ are the backbone in 2D and 3D, without its last layer. A step through one moves both. Norm layers belong
    to a side; those of the 3D side start as copies (`part_loaded`). The state dict holds shared entries once, as those
    of `backbone`, so a checkpoint of the backbone alone starts it: `crossd.load_pretrained`.

    Args:
        spatial_dims: 3.
        in_channels: of the volumes. Each is seen as a grey volume of its own, by a backbone of one channel.
        num_classes: logits.
        backbone: what `build_classifier` takes, `name` and arguments, but dimensions, channels and classes; of Cross-D
            convolutions, which are at `alignment="rest"` unless it says otherwise.
        views: which of `"volume"`, `"slices"` and `"projections"`.
        axes: along which slices and projections are taken, of (0 depth, 1 height, 2 width). Left out are those that
            show pixels more than 3 times as long as wide: of thick slices, the two across them.
        slice_step: every how many millimetres (voxels where `spacing` is None) along an axis there is a slice.
        max_slices: of an axis.
        projection_kinds: `"mean"`, `"max"`, `"std"` along the ray; each has features of its own.
        directions: `"axes"`, or `"diagonals"`: also along those of faces and of the cube, when all axes are looked
            along.
        image_size: longer side of slices and projections as the backbone gets them, square pixels; None: as they are.
        volume_size: longest side of the volume as the 3D side gets it, cubic voxels; None: as it is.
        pooling: of the images of a view: `"mean"`, `"max"`, or `"attention"` (Ilse et al., ICML 2018).
        axes_apart: whether features of each axis are kept, instead of their mean.
        channels: of the volumes' features: `"mean"`, `"concatenate"`, or `"differences"`: concatenated, and the
            differences of neighbours with them, as between two phases of a heart.
        spacing: of the volumes' voxels, in millimetres, or None.
        background: intensity of the darkest voxel as the network gets it.

    Shapes: `(batch, in_channels, depth, height, width)`, any size → `(batch, num_classes)`.

    Raises:
        CrossDError: for an option that does not exist, or that leaves nothing to be seen.

    >>> backbone = {"name": "CrossDResNet", "depth": 10, "width": 4}
    >>> network = MultiView(3, in_channels=2, num_classes=5, backbone=backbone, image_size=32, volume_size=32).eval()
    >>> network(torch.rand(2, 2, 16, 16, 16)).shape
    torch.Size([2, 5])
    >>> {view: tuple(features.shape) for view, features in network.view_features(torch.rand(2, 2, 9, 9, 9)).items()}
    {'slices': (2, 32), 'projections': (2, 96), 'volume': (2, 32)}
    """

    pretrained_part: ClassVar[str] = "backbone"
    part_follower: ClassVar[str] = "volume"  # has what the part has
    head_parts: ClassVar[tuple[str, ...]] = ("pooling",)  # what is as new as the head
    joins: ClassVar[tuple[str, ...]] = ("backbone", "volume")  # what is around them is traced for one size of volumes

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        num_classes: int,
        backbone: Mapping[str, Any],
        views: Sequence[str] = ("slices", "projections", "volume"),
        axes: Sequence[int] = (0, 1, 2),
        slice_step: float = 2,
        max_slices: int = 64,
        projection_kinds: Sequence[str] = KINDS,
        directions: str = "axes",
        image_size: int | None = 96,
        volume_size: int | None = 48,
        pooling: str = "mean",
        axes_apart: bool = False,
        channels: str = "mean",
        spacing: Sequence[float] | None = None,
        background: float = 0.0,
    ) -> None:
        super().__init__()
        if spatial_dims != 3:
            raise CrossDError(f"MultiView is for volumes: spatial_dims must be 3; got {spatial_dims!r}.")
        for name, size in (("image_size", image_size), ("volume_size", volume_size)):
            if size is not None and size < 1:
                raise CrossDError(f"`{name}` must be a number of voxels, or None for as they are; got {size!r}.")
        for name, values, known in (("views", views, VIEWS), ("projection_kinds", projection_kinds, KINDS)):
            if not values:
                raise CrossDError(f"`{name}` must name one or more of {', '.join(known)}; got {values!r}.")
            for value in values:
                one_of(name, value, known)
        self.views = tuple(view for view in ("slices", "projections", "volume") if view in views)
        self.spacing = [float(step) for step in spacing or (1, 1, 1)]
        square = square_axes(self.spacing)
        self.axes = [axis for axis in range(3) if axis in axes and axis in square]
        if not self.axes and self.views != ("volume",):
            raise CrossDError(
                f"Slices and projections need an axis along which pixels are nearly square, of {square} for voxels of "
                f"{tuple(self.spacing)}; got axes {tuple(axes)}. Name one of these."
            )
        self.slice_steps = [max(1, round(slice_step / step)) for step in self.spacing]
        self.max_slices = max_slices
        self.projection_kinds = list(projection_kinds)
        self.directions = looking_along(directions, self.axes)
        self.image_size, self.volume_size = image_size, volume_size
        self.in_channels, self.background = in_channels, background

        arguments = {"alignment": "rest", **backbone, "in_channels": 1, "num_classes": 1}
        self.backbone = build_classifier({**arguments, "spatial_dims": 2})
        self.volume = build_classifier({**arguments, "spatial_dims": 3})
        check_twins(self.volume, self.backbone, "fc")
        width = self.backbone.num_features
        for side in (self.backbone, self.volume):
            side.fc = nn.Identity()  # type: ignore[assignment]
        tie(self.backbone, self.volume, "fc", norms=False, statistics=False)
        self.part_loaded()
        looks = {"slices": len(self.axes), "projections": len(self.directions), "volume": 1}
        stacks = {view: looks[view] for view in self.views}
        self.pooling = ViewPooling(width, in_channels, stacks, len(projection_kinds), pooling, axes_apart, channels)
        self.fc = nn.Linear(sum(self.pooling.feature_widths.values()), num_classes)
        self.register_state_dict_post_hook(drop_shared)
        self.register_load_state_dict_pre_hook(add_shared)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, in_channels, depth, height, width)` → logits `(batch, num_classes)`."""
        return self.with_features(x)[0]

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and `(batch, features)` of all views from the same pass, those of a view divided by their length."""
        seen = self.view_features(x)
        return self.answer(seen), torch.cat([nn.functional.normalize(features) for features in seen.values()], 1)

    def answer(self, features: dict[str, Tensor]) -> Tensor:
        """Features as from `view_features` → logits `(batch, num_classes)`."""
        return self.fc(torch.cat(list(features.values()), 1))  # type: ignore[no-any-return]

    def view_features(self, x: Tensor) -> dict[str, Tensor]:
        """What each view gives: its name → `(batch, feature)`, in the order in which `fc` takes them."""
        return self.pooling(self.seen(self.images(x)))  # type: ignore[no-any-return]

    def images(self, x: Tensor) -> dict[str, list[Tensor]]:
        """What is looked at: view → `(batch · channel, image, 1, *size)` for each of its axes or directions.

        The images are the slices along an axis, the kinds of projection along a direction, or the volume alone.
        """
        if x.ndim != 5 or x.shape[1] != self.in_channels:
            raise CrossDError(
                f"MultiView expects (batch, {self.in_channels}, depth, height, width); got {list(x.shape)}. Give it as "
                "many channels as it was made for, and a batch axis by x.unsqueeze(0)."
            )
        grey = x.flatten(0, 1).unsqueeze(1)
        made: dict[str, list[Tensor]] = {}
        if "slices" in self.views:
            steps = self.slice_steps
            made["slices"] = [slices(grey, axis, steps[axis], self.max_slices) for axis in self.axes]
        if "projections" in self.views:
            made["projections"] = []
            for direction in self.directions:
                turned, axis = along_axis(grey, direction, self.spacing, self.background)
                made["projections"].append(projections(turned, axis, self.projection_kinds, self.background))
        if "volume" in self.views:
            made["volume"] = [grey.unsqueeze(1)]
        return made

    def seen(self, images: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
        """Features of images as from `images`: view → `(batch · channel, image, feature)` for each axis or direction.

        Those of a view that have one size pass through the network together.
        """
        found = {}
        for view, stacks in images.items():
            side, size = (self.volume, self.volume_size) if view == "volume" else (self.backbone, self.image_size)
            if size is not None:
                stacks = [resize(stack, size, pixel) for stack, pixel in zip(stacks, self._pixels(view), strict=True)]
            found[view] = _through(side, stacks)
        return found

    def _pixels(self, view: str) -> list[list[float]]:
        """Millimetres of the pixels of a view's images, for each axis or direction."""
        across = [[step for other, step in enumerate(self.spacing) if other != axis] for axis in range(3)]
        if view == "slices":
            return [across[axis] for axis in self.axes]
        if view == "volume":
            return [self.spacing]
        return [across[along.index(1) if sum(map(abs, along)) == 1 else 0] for along in self.directions]

    def slice_positions(self, shape: Sequence[int]) -> dict[int, list[int]]:
        """Which slices of a volume `(depth, height, width)` are looked at, along each axis."""
        return {axis: slice_indices(shape[axis], self.slice_steps[axis], self.max_slices) for axis in self.axes}

    def part_loaded(self) -> None:
        """Start the 3D side's norms as copies of the 2D side's; `load_pretrained` asks for it."""
        mine = self.backbone.state_dict()
        self.volume.load_state_dict(mine)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MultiView:
        """What `.to()` calls: it makes new buffers, which are tied again."""
        names = shared(self)
        super()._apply(fn, recurse)
        tie_again(self, names)
        return self


def _through(network: nn.Module, stacks: list[Tensor]) -> list[Tensor]:
    """Stacks of images `(volume, image, 1, *size)`, in one pass those of one size → `(volume, image, feature)`."""
    of_size: dict[tuple[int, ...], list[int]] = {}
    for number, stack in enumerate(stacks):
        of_size.setdefault(tuple(map(int, stack.shape[2:])), []).append(number)
    found: dict[int, Tensor] = {}
    for numbers in of_size.values():
        images = torch.cat([stacks[number] for number in numbers], 1)
        features = network(images.flatten(0, 1)).unflatten(0, (-1, int(images.shape[1])))
        found |= zip(numbers, features.split([int(stacks[number].shape[1]) for number in numbers], 1), strict=True)
    return [found[number] for number in range(len(stacks))]
