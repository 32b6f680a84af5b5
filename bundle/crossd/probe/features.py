"""What a frozen network, and no network, makes of cases: computed in batches, kept by content, gone on with."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose
from torch import Tensor
from tqdm import tqdm

from crossd.conv import fold
from crossd.data import preprocessing
from crossd.data.cache import VolumeCache
from crossd.errors import CrossDError, counted
from crossd.files import digest
from crossd.inference import Case, CaseDataset
from crossd.inference.case_loader import one_ahead
from crossd.inference.case_scope import case_figures
from crossd.probe.frozen import Frozen
from crossd.probe.trivial import trivial_features

logger = logging.getLogger(__name__)
_CODE = ("conv", "networks", "probe/features.py", "probe/trivial.py", "inference/case_scope.py")


@dataclass(frozen=True)
class Seen:
    """What is known of a case.

    Attributes:
        views: of each view `(features,)`.
        trivial: of each kind of `crossd.probe.trivial` `(figures,)`.
        figures: of the input, for the scope; see `crossd.inference.case_scope.case_figures`.
    """

    views: Mapping[str, Tensor]
    trivial: Mapping[str, Tensor]
    figures: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def normalised(self, views: Sequence[str]) -> Tensor:
        """Features of these views as `MultiView.with_features` gives them: each divided by its length."""
        return torch.cat([torch.nn.functional.normalize(self.views[view], dim=0) for view in views])


class FrozenFeatures:
    """The views of a frozen `MultiView` and the trivial figures of cases, in batches.

    What is there already is not computed again, whatever run it was computed in: it is kept by the content of a case's
    files, the preprocessing, the network's arguments and weights, and the code. A run that was killed so goes on.

    Args:
        frozen: its network is copied, folded and put into evaluation mode.
        reading: what else decides what is read: series, tilt, volume.
        cache_dir: folder that keeps the features; None: none does.
        cache_dir_gb: GiB that it may hold.
        batch_size: cases of one shape in a pass of the network.
        device: of torch.

    Attributes:
        preprocessing: from an item to what the network sees.
    """

    def __init__(
        self,
        frozen: Frozen,
        reading: Mapping[str, Any],
        cache_dir: str | None = None,
        cache_dir_gb: float = 100,
        batch_size: int = 4,
        device: torch.device | str = "cpu",
    ) -> None:
        if batch_size < 1:
            raise CrossDError(f"batch_size must be 1 case or more; got {batch_size}. Pass --batch_size 4.")
        self.network: Any = fold(frozen.network).eval().to(device)
        self.preprocessing, self.card_input = preprocessing(frozen.input, **reading), frozen.input
        self.batch_size, self.device = batch_size, torch.device(device)
        self.cache = None
        if cache_dir is not None:
            about = {"network": dict(frozen.arguments), "weights": state_digest(self.network), "code": _code()}
            about |= {"input": dict(frozen.input), **reading}
            self.cache = VolumeCache(Compose([]), about, cache_dir, cache_dir_gb)

    def of(
        self, cases: Sequence[Mapping[str, Any]], what: str = "features"
    ) -> tuple[list[Seen | None], dict[int, str]]:
        """Of each case what is known, and by number why a case cannot be read.

        Args:
            cases: items of `crossd.data.find_cases` or `read_labels`.
            what: it is, for the progress bar, which estimates the time that is left.
        """
        entries = [self._entry(case) for case in cases]
        found: list[Seen | None] = [self._kept(entry) for entry in entries]
        waiting = [number for number, seen in enumerate(found) if seen is None]
        if len(waiting) < len(cases):
            logger.info("%s of %s are there already", what, counted(len(cases) - len(waiting), "case"))
        failed: dict[int, str] = {}
        dataset = CaseDataset([cases[number] for number in waiting], self.preprocessing)
        read = one_ahead(dataset[index] for index in range(len(dataset)))
        with tqdm(total=len(cases), initial=len(cases) - len(waiting), desc=what, disable=not waiting) as progress:
            for batch in _batches(read, self.batch_size):
                for case, seen in zip(batch, self._compute(batch), strict=True):
                    number = waiting[case.number]
                    if seen is None:
                        failed[number] = str(case.error)
                    else:
                        found[number] = seen
                        self._keep(entries[number], seen)
                progress.update(len(batch))
        return found, failed

    @torch.no_grad()
    def _compute(self, batch: Sequence[Case]) -> list[Seen | None]:
        images = [case.image for case in batch if case.image is not None]
        if not images:
            return [None] * len(batch)
        volumes = torch.stack([image.as_tensor() for image in images]).to(self.device)
        views = {name: features.float().cpu() for name, features in self.network.view_features(volumes).items()}
        return [
            Seen(
                {name: features[index].clone() for name, features in views.items()},
                trivial_features(image, self.card_input),
                case_figures(image, self.card_input),
            )
            for index, image in enumerate(images)
        ]

    def _entry(self, case: Mapping[str, Any]) -> Path | None:
        return None if self.cache is None or case.get("error") else self.cache.entry_of({"image": case["image"]})

    def _kept(self, entry: Path | None) -> Seen | None:
        kept = None if self.cache is None else self.cache.kept(entry)
        if kept is None:
            return None
        parts: dict[str, dict[str, Any]] = {"views": {}, "trivial": {}, "figures": {}}
        for name, value in kept.items():
            part, _, name = name.partition("/")
            parts[part][name] = value
        return Seen(**parts)

    def _keep(self, entry: Path | None, seen: Seen) -> None:
        if self.cache is not None:
            parts = {"views": seen.views, "trivial": seen.trivial, "figures": seen.figures}
            self.cache.keep(
                entry, {f"{part}/{name}": value for part, named in parts.items() for name, value in named.items()}
            )


def _batches(cases: Iterator[Case], size: int) -> Iterator[list[Case]]:
    """Neighbours of one shape; a case that failed is a batch of its own."""
    batch: list[Case] = []
    for case in cases:
        if batch and (len(batch) >= size or _shape(case) is None or _shape(case) != _shape(batch[0])):
            yield batch
            batch = []
        batch.append(case)
    if batch:
        yield batch


def _shape(case: Case) -> tuple[int, ...] | None:
    return None if case.image is None else tuple(case.image.shape)


def state_digest(network: torch.nn.Module) -> str:
    """A fingerprint of a network's weights.

    >>> network = torch.nn.Linear(1, 1)
    >>> before = state_digest(network)
    >>> torch.nn.init.constant_(network.weight, 7.0) is None or state_digest(network) == before
    False
    """
    whole = hashlib.blake2b(digest_size=16)
    for name, value in network.state_dict().items():
        if not name.startswith("fc."):  # which is not used
            whole.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            whole.update(value.detach().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()


@cache
def _code() -> list[str]:
    package = Path(__file__).resolve().parents[1]
    files = [file for name in _CODE for file in (sorted((package / name).glob("*.py")) or [package / name])]
    return [digest(file) for file in files]
