"""Whether a case is like those that a model was trained on: what of it is compared, and what is said of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor

from crossd.cards.scope import Judgement
from crossd.cards.scope_entry import scope_of
from crossd.errors import CrossDError

BINS = 16
NOT_JUDGED: dict[str, Any] = {"scope": None, "unlike": None}
COLUMNS = list(NOT_JUDGED)

logger = logging.getLogger(__name__)


def case_figures(image: MetaTensor, card_input: Mapping[str, Any], features: Tensor | None = None) -> dict[str, Any]:
    """The figures of a case that `crossd.cards.scope.Scope` compares.

    Args:
        image: preprocessed, `(channel, depth, height, width)`.
        card_input: `input` of the card, whose mean and std give the scale of [0, 1] back.
        features: `(features,)`, the mean over the windows of what the network makes of them.

    Returns:
        By name, None where it is not known:

        - "modality": DICOM's
        - "spacing": of the file, logarithms of millimetres, the smallest first
        - "extent": after preprocessing, logarithms of millimetres along depth, height and width
        - "foreground": per channel the logarithm of 0.001 + the share of voxels above 1/16 of the scale
        - "place": per channel where those voxels lie, see `foreground_place`
        - "intensities": per channel the square roots of the shares of voxels in 16 equal bins of the scale
        - "features": those given

    >>> image = MetaTensor(torch.eye(4)[None, None], affine=torch.eye(4))
    >>> figures = case_figures(image, {"mean": 0.0, "std": 1.0})
    >>> figures["intensities"][[0, 15]].square().tolist(), figures["extent"].exp().round().tolist()
    ([0.75, 0.25], [1.0, 4.0, 4.0])
    """
    original = image.meta.get("original_affine")
    mean, std = (torch.as_tensor(card_input[name], dtype=torch.float32).reshape(-1, 1) for name in ("mean", "std"))
    values = (image.as_tensor().flatten(1).float().cpu() * std + mean).clamp(0, 1)
    shares = torch.stack([torch.histc(channel, BINS, 0, 1) for channel in values]) / values.shape[1]
    return {
        "modality": image.meta.get("modality") or None,
        "spacing": None if original is None else _voxel(torch.as_tensor(original)).sort().values.log(),
        "extent": (torch.as_tensor(image.shape[1:]) * _voxel(image.affine)).log(),
        "foreground": (1 - shares[:, 0] + 1e-3).log(),
        "place": torch.cat([foreground_place(channel.view(image.shape[1:]) >= 1 / BINS) for channel in values]),
        "intensities": shares.sqrt().flatten(),
        "features": features,
    }


def foreground_place(mask: Tensor) -> Tensor:
    """Where a mask `(depth, height, width)` lies: its centre along the axes, then its standard deviations, `(6,)`.

    Both are shares of the axis. Of an empty mask: the middle, and 0.

    >>> mask = torch.zeros(4, 4, 4, dtype=torch.bool)
    >>> mask[0] = True
    >>> foreground_place(mask)[:4].tolist()
    [0.125, 0.5, 0.5, 0.0]
    """
    if not mask.any():
        return torch.tensor([0.5] * 3 + [0.0] * 3)
    plane = mask.sum(0)
    profiles = [mask.flatten(1).sum(1), plane.sum(1), plane.sum(0)]
    places = [(torch.arange(len(profile)) + 0.5) / len(profile) for profile in profiles]
    centres = [(at * many).sum() / many.sum() for at, many in zip(places, profiles, strict=True)]
    spreads = [
        ((at - centre) ** 2 * many).sum().div(many.sum()).sqrt()
        for at, centre, many in zip(places, centres, profiles, strict=True)
    ]
    return torch.stack([*centres, *spreads])


def _voxel(affine: Tensor) -> Tensor:
    """Millimetres along each axis of an affine `(4, 4)`."""
    return affine[:3, :3].double().norm(dim=0).cpu()


class CaseScope:
    """Judges the cases of a run by the scope of a card.

    What is missing is said once in the log: a card without a scope, of which every judgement is None, and a backend
    that gives no features, without which the figures of the input decide alone.
    """

    def __init__(self, card: Mapping[str, Any]) -> None:
        self.scope = scope_of(card)
        self.input = card.get("input", {})
        self._silent = self.scope is None or "features" not in self.scope.gaussians

    def start(self) -> None:
        """Before the first case."""
        if self.scope is None:
            logger.warning("the model's card has no scope: nothing tells whether a case is like its training cases")

    def __call__(self, image: MetaTensor, features: Tensor | None = None) -> Judgement | None:
        """What is said of a case; see `case_figures`.

        Raises:
            CrossDError: for a scope of other features than the network's.
        """
        if self.scope is None:
            return None
        known = self.scope.gaussians.get("features")
        if known is not None and features is not None and len(features) != len(known.mean):
            raise CrossDError(
                f"The scope of a card belongs to its network: it is of {len(known.mean)} features, the network has "
                f"{len(features)}. Take the card that came with the weights, or remove its entry `scope`."
            )
        if features is None and not self._silent:
            self._silent = True
            logger.warning("this network gives no features: the scope of its card is judged by the input alone")
        return self.scope.judge(case_figures(image, self.input, features))


def details_of(judgement: Judgement | None) -> dict[str, Any]:
    """The entries `scope` and `unlike` of an answer."""
    return NOT_JUDGED if judgement is None else {"scope": judgement.word, "unlike": round(judgement.unlike, 6)}


def cells_of(details: Mapping[str, Any]) -> list[str]:
    """Those of `COLUMNS`; empty where a case was not judged, also by an earlier version of this package.

    >>> cells_of({"scope": "inside", "unlike": 0.25}), cells_of({})
    (['inside', '0.2500'], ['', ''])
    """
    judged = details.get("scope")
    return [judged, f"{details['unlike']:.4f}"] if judged else ["", ""]


def sentence_of(details: Mapping[str, Any]) -> str | None:
    """What `scope` and `unlike` say; None where a case was not judged.

    >>> sentence_of({"scope": "inside", "unlike": 0.25})
    'inside: 25 % of the validation cases are less unlike the training cases'
    """
    if not details.get("scope"):
        return None
    share = f"{100 * details['unlike']:.0f} %"
    return f"{details['scope']}: {share} of the validation cases are less unlike the training cases"


def warning_of(judgement: Judgement | None) -> str | None:
    """What is noted of a case that is outside.

    >>> warning_of(Judgement(False, 1.0, {"modality": 1000.0, "intensities": 4.22}))
    'outside of what the model knows: another modality, intensities (4.2 times the limit)'
    """
    if judgement is None or judgement.inside:
        return None
    parts = [
        "another modality" if part == "modality" else f"{part} ({far:.2g} times the limit)"
        for part, far in judgement.parts.items()
    ]
    return f"outside of what the model knows: {', '.join(parts)}"
