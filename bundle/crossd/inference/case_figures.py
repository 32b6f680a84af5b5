"""What a case looks like, in the figures that the scope of a card is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor

from crossd.inference.evidence import WindowEvidence

BINS = 16


def case_figures(image: MetaTensor, card_input: Mapping[str, Any], evidence: WindowEvidence | None = None) -> Any:
    """The figures of a case, for `crossd.cards.scope.Scope`.

    Args:
        image: preprocessed, `(channel, depth, height, width)`.
        card_input: `input` of the card, whose mean and std give the scale of [0, 1] back.
        evidence: what the network said of it, for its features.

    Returns:
        By name:

        - "modality": DICOM's, where the file says it
        - "spacing": of the file, logarithms of millimetres, the smallest first
        - "extent": after preprocessing, logarithms of millimetres along depth, height and width
        - "foreground": per channel the logarithm of the share of voxels above 1/16 of the scale (and 0.001)
        - "intensities": per channel the square roots of the shares of voxels in 16 equal bins of the scale
        - "features": the mean over the windows, where the network gives them

    >>> image = MetaTensor(torch.eye(4)[None, None], affine=torch.eye(4))
    >>> figures = case_figures(image, {"mean": 0.0, "std": 1.0})
    >>> figures["intensities"][[0, 15]].square().tolist(), figures["extent"].exp().round().tolist()
    ([0.75, 0.25], [1.0, 4.0, 4.0])
    """
    original = image.meta.get("original_affine")
    voxels = image.as_tensor()
    mean, std = (torch.as_tensor(card_input[name], dtype=torch.float32).reshape(-1, 1) for name in ("mean", "std"))
    values = (voxels.flatten(1).float().cpu() * std + mean).clamp(0, 1)
    shares = torch.stack([torch.histc(channel, BINS, 0, 1) for channel in values]) / values.shape[1]
    sizes = torch.as_tensor(voxels.shape[1:]) * _voxel(image.affine)
    return {
        "modality": image.meta.get("modality") or None,
        "spacing": None if original is None else _voxel(torch.as_tensor(original)).sort().values.log(),
        "extent": sizes.log(),
        "foreground": (1 - shares[:, 0] + 1e-3).log(),
        "intensities": shares.sqrt().flatten(),
        "features": None if evidence is None else evidence.features,
    }


def _voxel(affine: Tensor) -> Tensor:
    """Millimetres along each axis of an affine `(4, 4)`."""
    return affine[:3, :3].double().norm(dim=0).cpu()
