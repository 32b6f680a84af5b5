"""The pictures of a case: its slices in three planes and the maps over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monai.data import MetaTensor
from torch import Tensor

from crossd.inference import WindowMap
from crossd.report.planes import Plane, peak, planes_of
from crossd.report.strips import grey_strip, mask_strip, tint_strip

PIXELS = 256  # of a picture's longer side at most
SHRINK = 2  # a map has so many times fewer rows and columns


@dataclass(frozen=True)
class Pictures:
    """Slices of one plane as data URIs.

    Attributes:
        plane: which slices.
        grey: of the volume.
        maps: of the maps by kind, "evidence", "saliency" or "mask".
        peaks: by kind, which of the slices has the highest value, or most of the mask.
        opens_at: the slice that is seen first; None for the middle one.
    """

    plane: Plane
    grey: str
    maps: Mapping[str, str] = field(default_factory=dict)
    peaks: Mapping[str, int] = field(default_factory=dict)
    opens_at: int | None = None


def pictures_of(
    image: MetaTensor, maps: Mapping[str, WindowMap | Tensor], card_input: Mapping[str, Any], slices: int
) -> tuple[list[Pictures], list[str]]:
    """The pictures of a preprocessed volume, and what to say about them.

    Args:
        image: `(channel, depth, height, width)`; its first channel is shown.
        maps: "evidence" and perhaps "saliency", of which what is no probability is divided by its largest value here;
            or "mask", class indices `(depth, height, width)`.
        card_input: `input` of the model's card; its mean and standard deviation give the grey scale back.
        slices: see `planes_of`.
    """
    mean, std = (_first(card_input[name]) for name in ("mean", "std"))
    volume = image.as_tensor()[0].cpu()
    pictures = []
    planes = planes_of(image, slices, PIXELS)
    scales = {kind: _scale(planes, found) for kind, found in maps.items() if isinstance(found, WindowMap)}
    for plane in planes:
        drawn = {kind: _layer(plane, found, scales.get(kind, 1.0)) for kind, found in maps.items()}
        layers = {kind: layer for kind, layer in drawn.items() if layer is not None}
        tints = {kind: strip for kind, (strip, _) in layers.items()}
        peaks = {kind: at for kind, (_, at) in layers.items()}
        within = isinstance(found := maps.get("evidence"), WindowMap) and not found.probability
        opens_at = peaks.get("evidence") if within else None
        pictures.append(Pictures(plane, grey_strip(plane.picture(volume) * std + mean), tints, peaks, opens_at))
    remarks = []
    if len(image) > 1:
        whole = " The maps are of all channels together." if maps else ""
        remarks.append(f"Channel 1 of {len(image)}, {card_input['channels'][0]}.{whole}")
    for kind, found in maps.items():
        if isinstance(found, Tensor):
            remarks += [] if found.any() else ["The mask is empty: nothing was found."]
        elif found.probability and found.uniform:
            remarks.append("All windows say the same, so their evidence is the same everywhere.")
        elif scales[kind] <= 0:
            what = "Grad-CAM is 0 everywhere: nothing in this layer" if kind == "saliency" else "No voxel"
            remarks.append(f"{what} speaks for the class.")
    if not image.meta.get("has_affine", True):
        remarks.append("The file does not say where its axes run to; they are shown as stored.")
    return pictures, remarks


def _layer(plane: Plane, found: WindowMap | Tensor, scale: float) -> tuple[str, int] | None:
    """The strip of a map, and which of its slices shows most; None where it says nothing."""
    if isinstance(found, Tensor):
        labels = plane.labels(found)
        return (mask_strip(labels), peak((labels > 0).float().mean((1, 2))[:, None, None])) if found.any() else None
    if scale <= 0 or found.uniform:
        return None
    layer = plane.overlay(found, SHRINK) / scale
    return tint_strip(layer), peak(layer)


def _scale(planes: Sequence[Plane], found: WindowMap) -> float:
    """What is opaque: of a probability 1, of other maps the largest value that is seen in any of the planes."""
    return 1.0 if found.probability else max(float(plane.overlay(found, SHRINK).max()) for plane in planes)


def _first(value: Any) -> float:
    return float(value[0] if isinstance(value, (list, tuple)) else value)
