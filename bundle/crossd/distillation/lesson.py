"""What is taught: volumes without labels, the frozen 2D side, and what it gives for each of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossd.cards.from_data import model_card
from crossd.cards.rules import SELF_SUPERVISED
from crossd.data.delimited import write_table
from crossd.data.splits import stratified_split
from crossd.errors import CrossDError, one_of
from crossd.inference.case_dataset import CaseDataset
from crossd.networks import MultiView
from crossd.options import Options
from crossd.probe.features import FrozenFeatures
from crossd.probe.frozen import READING, Frozen, frozen_of_options
from crossd.probe.linear import Components
from crossd.ssl.unlabelled_volumes import unlabelled_volumes
from crossd.training.readable import readable_cases
from crossd.training.run_files import run_folder

logger = logging.getLogger(__name__)
TEACHING = ("slices", "projections")


@dataclass(frozen=True)
class Lesson:
    """What a student is taught.

    Attributes:
        frozen: the network whose 2D side teaches and whose 3D side the student starts as.
        teacher: a folded copy of it, in evaluation mode.
        preprocessing: from an item to a volume.
        cases: by split, `"train"` and `"val"`, items with `"features"`, what the 2D side gives for the volume.
        cache_rate: the part of the volumes that fits into memory.
        components: of the training volumes' features, and the root of their mean variance, `scale`.
        card: of the student's 3D network.
    """

    frozen: Frozen
    teacher: MultiView
    preprocessing: Any
    cases: Mapping[str, Sequence[Mapping[str, Any]]]
    cache_rate: float
    components: Components
    scale: float
    card: Mapping[str, Any]


def read_lesson(options: Options, bundle_root: str) -> Lesson:
    """Find and try the volumes, and compute what the frozen 2D side gives for each, or take it from the cache.

    Every file is a grey volume of its own. Held-out volumes are never taken, see `crossd.ssl.unlabelled_volumes`. Of
    the patients `val_fraction` validate. `cases.csv` says which (case, source, split).

    Raises:
        CrossDError: without volumes or with one patient, for volumes that cannot be read, and for other views.
    """
    if not 0 < options.val_fraction < 1:
        raise CrossDError(
            f"val_fraction must be a share above 0 and below 1, got {options.val_fraction}. Pass --val_fraction 0.1."
        )
    if options.volumes is None:
        raise CrossDError("Distillation needs volumes, got none. Pass --volumes with a folder, a .csv, or a list.")
    for view in options.views:
        one_of("views", view, TEACHING)
    volumes = unlabelled_volumes(options.volumes, channels=None, series=options.series, tilt=options.tilt)
    found = _each_file(volumes or [])
    frozen = frozen_of_options(options, bundle_root, [case for case in found if case["error"] is None] or found)
    kept = (options.cache_dir, options.cache_dir_gb, options.batch_size, options.device)
    read = FrozenFeatures(frozen, options(*READING), *kept)
    transform = read.preprocessing
    tried = readable_cases(
        {"train": found},
        transform,
        options.output_dir,
        options.skip_unreadable,
        options.num_workers,
        ("train",),
        options.cache_gb,
    )
    seen, failed = read.of(tried["train"], "what the 2D side gives")
    if failed:
        raise CrossDError(f"Volumes must stay readable in a run, got {next(iter(failed.values()))}. Start it again.")
    items = [
        {**case, "features": torch.cat([*one.views.values()])}
        for case, one in zip(tried["train"], seen, strict=True)
        if one is not None
    ]
    shares = {"train": 1 - options.val_fraction, "val": options.val_fraction}
    patients = [str(item.get("patient") or item["case"]) for item in items]
    splits = stratified_split(patients, [[0]] * len(items), shares, options.seed)
    cases = {split: [item for item, its in zip(items, splits, strict=True) if its == split] for split in shares}
    listed = [(item["case"], str(item["source"]), split) for item, split in zip(items, splits, strict=True)]
    write_table(run_folder(options.output_dir) / "cases.csv", ("case", "source", "split"), listed)
    rows = np.stack([item["features"].double().numpy() for item in cases["train"]])
    components = Components.fit(rows, options.components)
    scale = float(components(rows).var(0).mean() ** 0.5)
    logger.info("%d volumes teach and %d validate, by %d components", *map(len, cases.values()), len(components.axes))
    card = _card(frozen, transform, items, options.volume_size, options.volumes)
    return Lesson(frozen, read.network, transform, cases, tried["cache_rate"], components, scale, card)


def _each_file(cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cases of several channels as one for each of them, of the same patient."""
    apart = []
    for case in cases:
        if any(".npz@" in str(file) for file in case["image"]):
            raise CrossDError(
                f"Volumes to distil from are files, got a row of an array, {case['source']}. Write them as files: "
                "crossd prepare, or nibabel."
            )
        patient, several = case.get("patient") or case["case"], len(case["image"]) > 1
        apart += [
            {
                **case,
                "case": f"{case['case']}/{number}" if several else case["case"],
                "image": [file],
                "patient": patient,
            }
            for number, file in enumerate(case["image"])
        ] or [case]
    return apart


def _card(
    frozen: Frozen, transform: Any, items: Sequence[Mapping[str, Any]], size: int, volumes: str | Sequence[str]
) -> dict[str, Any]:
    """Of an encoder without classes, which sees cubes of the voxels that the student has seen, at the median."""
    spacing = frozen.input["spacing"]
    if spacing is not None:
        chosen = np.unique(np.linspace(0, len(items) - 1, min(16, len(items))).round().astype(int))
        dataset = CaseDataset([items[index] for index in chosen], transform)
        images = [dataset[index].image for index in range(len(dataset))]
        longest = np.median([np.max(np.multiply(image.shape[1:], spacing)) for image in images if image is not None])
        spacing = [float(f"{longest / size:.4g}")] * 3
    paths = [volumes] if isinstance(volumes, str) else volumes
    network = {"alignment": "rest", **frozen.arguments["backbone"]}
    seen = {**frozen.input, "roi_size": [size] * 3, "spacing": spacing}
    data = ", ".join(Path(path).name for path in paths)
    return model_card(SELF_SUPERVISED, [], network, seen, data=data, encoder="crossd", teacher=dict(frozen.weights))
