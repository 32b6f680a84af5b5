"""The pictures of a case: its slices in three planes and the maps over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monai.data import MetaTensor

from crossd.inference import WindowMap
from crossd.report.planes import Plane, peak, planes_of
from crossd.report.strips import grey_strip, tint_strip

PIXELS = 256  # of a picture's longer side at most


@dataclass(frozen=True)
class Pictures:
    """Slices of one plane as data URIs.

    Attributes:
        plane: which slices.
        grey: of the volume.
        maps: of the maps by kind, "evidence" or "saliency".
        peaks: by kind, which of the slices has the highest value.
    """

    plane: Plane
    grey: str
    maps: Mapping[str, str] = field(default_factory=dict)
    peaks: Mapping[str, int] = field(default_factory=dict)


def pictures_of(
    image: MetaTensor, maps: Mapping[str, WindowMap], card_input: Mapping[str, Any], slices: int
) -> tuple[list[Pictures], list[str]]:
    """The pictures of a preprocessed volume, and what to say about them.

    Args:
        image: `(channel, depth, height, width)`; its first channel is shown.
        maps: "evidence", values 0 to 1, and perhaps "saliency", which is divided by its largest value.
        card_input: `input` of the model's card; its mean and standard deviation give the grey scale back.
        slices: see `planes_of`.
    """
    mean, std = (_first(card_input[name]) for name in ("mean", "std"))
    volume = image.as_tensor()[0].cpu()
    scales = {kind: _largest(found) if kind == "saliency" else 1.0 for kind, found in maps.items()}
    pictures = []
    for plane in planes_of(image, slices, PIXELS):
        layers = {
            kind: plane.overlay(found, shrink=2) / scales[kind]
            for kind, found in maps.items()
            if scales[kind] > 0 and not found.uniform
        }
        tints = {kind: tint_strip(layer) for kind, layer in layers.items()}
        peaks = {kind: peak(layer) for kind, layer in layers.items()}
        pictures.append(Pictures(plane, grey_strip(plane.picture(volume) * std + mean), tints, peaks))
    remarks = []
    if len(image) > 1:
        whole = " The maps are of all channels together." if maps else ""
        remarks.append(f"Channel 1 of {len(image)}, {card_input['channels'][0]}.{whole}")
    if "evidence" in maps and maps["evidence"].uniform:
        remarks.append("One window covers the whole volume, so its evidence is the same everywhere.")
    if scales.get("saliency") == 0:
        remarks.append("Grad-CAM is 0 everywhere: nothing in this layer speaks for the class.")
    if not image.meta.get("has_affine", True):
        remarks.append("The file does not say where its axes run to; they are shown as stored.")
    return pictures, remarks


def _first(value: Any) -> float:
    return float(value[0] if isinstance(value, (list, tuple)) else value)


def _largest(window_map: WindowMap) -> float:
    """No voxel has more: shares are not negative and sum to 1."""
    return float(window_map.values.max())
