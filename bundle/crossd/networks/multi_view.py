"""`MultiView`: one set of Cross-D kernels sees a volume three ways, itself, in slices and in projections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from crossd.errors import CrossDError, one_of
from crossd.networks.classifiers import build_classifier
from crossd.networks.images_of_volumes import KINDS, projections, slice_indices, slices, square_axes, turn
from crossd.networks.images_of_volumes import directions as looking_along
from crossd.networks.resizing import resize
from crossd.networks.tied import add_shared, check_twins, drop_shared, tie

VIEWS = ("volume", "slices", "projections")
POOLINGS = ("mean", "max", "attention")
CHANNELS = ("mean", "concatenate", "differences")
ATTENTION = 128  # wide: with 1280 features a layer of 164,000 weights


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
        self.pooling = one_of("pooling", pooling, POOLINGS)
        self.axes_apart = axes_apart
        self.channels = one_of("channels", channels, CHANNELS)
        self.background = background

        arguments = {"alignment": "rest", **backbone, "in_channels": 1, "num_classes": 1}
        self.backbone = build_classifier({**arguments, "spatial_dims": 2})
        self.volume = build_classifier({**arguments, "spatial_dims": 3})
        check_twins(self.volume, self.backbone, "fc")
        width = self.backbone.num_features
        for side in (self.backbone, self.volume):
            side.fc = nn.Identity()  # type: ignore[assignment]
        tie(self.backbone, self.volume, "fc", norms=False, statistics=False)
        self.part_loaded()
        if pooling == "attention":
            self.attention = nn.ModuleDict(
                {
                    view: nn.Sequential(nn.Linear(width, ATTENTION), nn.Tanh(), nn.Linear(ATTENTION, 1))
                    for view in self.views
                    if view != "volume"
                }
            )
        groups = {
            "slices": len(self.axes) if axes_apart else 1,
            "projections": len(self.projection_kinds) * (len(self.directions) if axes_apart else 1),
            "volume": 1,
        }
        repeats = {"mean": 1, "concatenate": in_channels, "differences": 2 * in_channels - 1}[channels]
        self.feature_widths = {view: width * groups[view] * repeats for view in self.views}
        self.fc = nn.Linear(sum(self.feature_widths.values()), num_classes)
        self.register_state_dict_post_hook(drop_shared)
        self.register_load_state_dict_pre_hook(add_shared)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, in_channels, depth, height, width)` → logits `(batch, num_classes)`."""
        return self.with_features(x)[0]

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and `(batch, features)` of all views from the same pass, those of a view divided by their length."""
        seen = list(self.view_features(x).values())
        logits: Tensor = self.fc(torch.cat(seen, 1))
        return logits, torch.cat([nn.functional.normalize(features) for features in seen], 1)

    def view_features(self, x: Tensor) -> dict[str, Tensor]:
        """What each view gives: its name → `(batch, feature)`, in the order in which `fc` takes them."""
        return {view: self._joined(self._pooled(features, view), len(x)) for view, features in self.seen(x).items()}

    def seen(self, x: Tensor) -> dict[str, list[Tensor]]:
        """Features of all that is looked at: view → groups `(batch · channel, image, feature)`.

        A group is what is pooled: the slices of an axis, the projections of a kind in all directions, or the volume.
        """
        if x.ndim != 5:
            raise CrossDError(
                f"MultiView expects (batch, channel, depth, height, width); got {x.ndim} axes with shape "
                f"{list(x.shape)}. Add a batch axis with x.unsqueeze(0)."
            )
        grey = x.reshape(-1, 1, *x.shape[2:])
        found: dict[str, list[Tensor]] = {}
        if "slices" in self.views:
            steps = self.slice_steps
            found["slices"] = [
                self._encode(slices(grey, axis, steps[axis], self.max_slices), axis) for axis in self.axes
            ]
        if "projections" in self.views:
            seen = torch.stack([self._project(grey, direction) for direction in self.directions], 2)
            found["projections"] = list(seen.unbind(1))
        if "volume" in self.views:
            sized = grey if self.volume_size is None else resize(grey, self.volume_size, self.spacing)
            found["volume"] = [self.volume.pooled_features(sized).unsqueeze(1)]
        return found

    def slice_positions(self, shape: Sequence[int]) -> dict[int, list[int]]:
        """Which slices of a volume `(depth, height, width)` are looked at, along each axis."""
        return {axis: slice_indices(shape[axis], self.slice_steps[axis], self.max_slices) for axis in self.axes}

    def part_loaded(self) -> None:
        """Start the 3D side's norms as copies of the 2D side's; `load_pretrained` asks for it."""
        mine = self.backbone.state_dict()
        self.volume.load_state_dict(mine)

    def _encode(self, images: Tensor, axis: int) -> Tensor:
        """`(volume, image, 1, rows, columns)`, seen along an axis → `(volume, image, feature)`."""
        flat = images.flatten(0, 1)
        if self.image_size is not None:
            pixel = [step for other, step in enumerate(self.spacing) if other != axis]
            flat = resize(flat, self.image_size, pixel)
        return self.backbone.pooled_features(flat).unflatten(0, images.shape[:2])  # type: ignore[no-any-return]

    def _project(self, grey: Tensor, direction: tuple[int, int, int]) -> Tensor:
        """`(volume, 1, depth, height, width)` → `(volume, kind, feature)`."""
        along = [axis for axis in range(3) if direction[axis]]
        axis = along[0] if len(along) == 1 else 0
        turned = grey if len(along) == 1 else turn(grey, direction, self.spacing, self.background)
        return self._encode(projections(turned, axis, self.projection_kinds, self.background), axis)

    def _pooled(self, groups: list[Tensor], view: str) -> Tensor:
        """Groups `(volume, image, feature)` → `(volume, feature)`."""
        if view == "projections" and self.axes_apart:
            return torch.cat(groups, 1).flatten(1)
        pooled = [self._pool(features, view) for features in groups]
        if view == "slices" and not self.axes_apart:
            return torch.stack(pooled).mean(0)
        return torch.cat(pooled, 1)

    def _pool(self, features: Tensor, view: str) -> Tensor:
        """`(volume, image, feature)` → `(volume, feature)`."""
        if self.pooling == "attention" and view != "volume":
            return (self.attention[view](features).softmax(1) * features).sum(1)
        return features.amax(1) if self.pooling == "max" else features.mean(1)

    def _joined(self, features: Tensor, batch: int) -> Tensor:
        """`(batch · channel, feature)` → `(batch, feature)`."""
        features = features.unflatten(0, (batch, -1))
        if self.channels == "mean":
            return features.mean(1)
        parts = [features]
        if self.channels == "differences":
            parts.append(features[:, 1:] - features[:, :-1])
        return torch.cat(parts, 1).flatten(1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MultiView:
        """What `.to()` calls: it makes new buffers, which are tied again."""
        super()._apply(fn, recurse)
        tie(self.backbone, self.volume, "fc", norms=False, statistics=False)
        return self
