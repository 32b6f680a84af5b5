"""How far masks are from the true ones: the metrics of a case, a table of cases, and means with intervals."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.metrics import DiceMetric, HausdorffDistanceMetric, SurfaceDistanceMetric

from crossd.data.delimited import write_table
from crossd.data.masks import read_mask
from crossd.errors import CrossDError, counted
from crossd.evaluation import bootstrap_intervals
from crossd.files import write_whole
from crossd.inference.case_dataset import Case, reason
from crossd.version import __version__

logger = logging.getLogger(__name__)
METRICS = ("dice", "surface_distance", "hausdorff_95")
Rows = dict[str, dict[str, float]]


class SegmentationReport:
    """Writes `cases.csv` (a row per case) and `metrics.json` (means over cases, with 95 % intervals over patients).

    The engine is one with `segment_cases`; each case of the batch has its `mask`, which is read as it is stored: the
    comparison is in the input's own space. A case that cannot be read or segmented counts with Dice 0, and is named.

    Args:
        output_dir: made if need be.
        card: of the model; its `label_values` are those of the masks.
        about: further entries of `metrics.json`, what was evaluated on what.
        allow_empty: whether a mask may hold nothing but background.
        samples, seed: of the bootstrap.
    """

    def __init__(
        self,
        output_dir: str | Path | None,
        card: Mapping[str, Any],
        about: Mapping[str, Any] | None = None,
        allow_empty: bool = False,
        samples: int = 1000,
        seed: int = 0,
    ) -> None:
        if output_dir is None:
            raise CrossDError("An evaluation needs a folder for its report, got none. Pass --output_dir DIR.")
        self.folder = Path(output_dir)
        self.classes = list(card["class_names"])
        self.values = list(card["label_values"])
        self.about = dict(about or {})
        self.allow_empty = allow_empty
        self.samples, self.seed = samples, seed
        self.cases: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, lambda _: self.cases.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.compare)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def compare(self, engine: Engine) -> None:
        """Measure the cases of the evaluator's batch."""
        for case, said in zip(cast(list[Case], engine.state.batch), cast(list, engine.state.output), strict=True):
            entry = {"case": case.case, "patient": case.given.get("patient", case.case), "error": said.get("error")}
            rows: Rows = {name: dict.fromkeys(METRICS, float("nan")) | {"dice": 0.0} for name in self.classes[1:]}
            if case.image is not None and entry["error"] is None:
                try:
                    true, affine = read_mask(case.given["mask"], case.image, self.values, self.allow_empty)
                    spacing = np.linalg.norm(affine[:3, :3], axis=0)
                    rows = case_metrics(said["pred"], true, self.classes, spacing)
                except Exception as error:  # whatever one file holds, the others are compared
                    entry["error"] = reason(error)
            self.cases.append({**entry, "rows": rows})

    def write(self, engine: Engine) -> None:
        """Write the report."""
        summary = summarise(self.cases, self.classes, self.samples, self.seed)
        columns = [(metric, name) for name in self.classes[1:] for metric in METRICS]
        rows = []
        for case in self.cases:
            cells = [_cell(case["rows"][name][metric]) for metric, name in columns]
            rows.append([case["case"], case["patient"], *cells, case["error"] or ""])
        write_table(self.folder / "cases.csv", ["case", "patient", *map("_".join, columns), "error"], rows)
        failed = {case["case"]: case["error"] for case in self.cases if case["error"] is not None}
        content = {"crossd_version": __version__, **self.about, "cases": len(self.cases), "failed": failed, **summary}
        write_whole(self.folder / "metrics.json", json.dumps(content, indent=1) + "\n")
        dice = ", ".join(f"{name} {_text(summary['classes'][name]['dice'])}" for name in self.classes[1:])
        logger.info("Dice of %s: mean %s; %s", counted(len(self.cases), "case"), _text(summary["mean_dice"]), dice)
        for name, why in failed.items():
            logger.warning("%s counts with Dice 0: %s", name, why)


def summarise(
    cases: Sequence[Mapping[str, Any]], class_names: Sequence[str], samples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Means over the cases in which a metric is defined, each with the number of those and its 95 % interval.

    Returns:
        `{"mean_dice": {...}, "classes": {name: {metric: {"mean", "low", "high", "cases"}}}}`. The mean Dice is that of
        each case over its classes.

    >>> rows = {"cube": {"dice": 0.5, "surface_distance": 1.0, "hausdorff_95": 2.0}}
    >>> summarise([{"case": "a", "patient": "a", "rows": rows}], ["background", "cube"])["mean_dice"]["mean"]
    0.5
    """
    names = list(class_names[1:])
    columns = [(name, metric) for name in names for metric in METRICS]
    values = np.array([[case["rows"][name][metric] for name, metric in columns] for case in cases], dtype=float)
    dice = values[:, [index for index, (_, metric) in enumerate(columns) if metric == "dice"]]
    whole = np.concatenate([_mean(dice, 1)[:, None], values], axis=1)
    keys = ["mean", *map(str, range(len(columns)))]

    def means(drawn: np.ndarray) -> dict[str, float]:
        return dict(zip(keys, _mean(whole[drawn], 0).tolist(), strict=True))

    intervals = bootstrap_intervals(means, [str(case["patient"]) for case in cases], samples, seed)
    every = means(np.arange(len(cases)))

    def entry(index: int) -> dict[str, float | int | None]:
        patients = {case["patient"] for case, row in zip(cases, whole, strict=True) if not np.isnan(row[index])}
        low, high = (intervals[keys[index]] if len(patients) > 1 else None) or (None, None)
        count = int((~np.isnan(whole[:, index])).sum())
        value = every[keys[index]]
        return {"mean": None if math.isnan(value) else value, "low": low, "high": high, "cases": count}

    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    for index, (name, metric) in enumerate(columns):
        found[name][metric] = entry(index + 1)
    return {"mean_dice": entry(0), "classes": found}


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Of what is defined; nan where nothing is."""
    counts = (~np.isnan(values)).sum(axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nansum(values, axis) / np.where(counts > 0, counts, np.nan)


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.5f}"


def _text(entry: Mapping[str, Any]) -> str:
    if entry["mean"] is None:
        return "not defined"
    return f"{entry['mean']:.3f}" + (
        f" ({entry['low']:.3f} to {entry['high']:.3f})" if entry["low"] is not None else ""
    )


def case_metrics(
    predicted: np.ndarray, true: np.ndarray, class_names: Sequence[str], spacing: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Metrics of one case for each class but the background, by MONAI.

    - `dice`: `2·|P ∩ T| / (|P| + |T|)`; nan where the true mask has not the class and the prediction has not either, 0
      where only the prediction has it.
    - `surface_distance`: mean distance in millimetres between the borders of both, from each side (symmetric).
    - `hausdorff_95`: the 95th percentile of these distances, the larger of both sides.

    Distances are nan where either mask has not the class: there is no border to measure to.

    Source: Maier-Hein et al., "Metrics reloaded", Nature Methods 2024; `monai.metrics`.

    Args:
        predicted, true: class indices `(i, j, k)`.
        class_names: the background first.
        spacing: millimetres between voxels along `(i, j, k)`.

    Returns:
        For each class its metrics.

    >>> true = np.zeros((4, 4, 4), np.uint8)
    >>> true[1:3, 1:3, 1:3] = 1
    >>> case_metrics(np.roll(true, 1, axis=0), true, ["background", "cube"], (2.0, 1.0, 1.0))["cube"]["dice"]
    0.5
    """
    classes = len(class_names)
    box = _around(predicted, true)  # distances do not depend on what lies beyond
    given, wanted = (_one_hot(mask[box], classes) for mask in (predicted, true))
    found = {"dice": DiceMetric(include_background=False, ignore_empty=False)(given, wanted)[0]}
    for name, metric in (
        ("surface_distance", SurfaceDistanceMetric(include_background=False, symmetric=True)),
        ("hausdorff_95", HausdorffDistanceMetric(include_background=False, percentile=95)),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes that are not there
            found[name] = metric(given, wanted, spacing=[float(step) for step in spacing])[0]
    rows = {}
    for index, label in enumerate(class_names[1:]):
        row = {name: float(values[index]) for name, values in found.items()}
        there = bool(wanted[0, index + 1].any()), bool(given[0, index + 1].any())
        if there == (False, False):
            row["dice"] = float("nan")
        if not all(there):
            row["surface_distance"] = row["hausdorff_95"] = float("nan")
        rows[label] = row
    return rows


def _one_hot(mask: np.ndarray, classes: int) -> torch.Tensor:
    """`(1, classes, i, j, k)`, bool."""
    values = torch.from_numpy(np.ascontiguousarray(mask).astype(np.int64))
    return torch.stack([values == index for index in range(classes)])[None]


def _around(predicted: np.ndarray, true: np.ndarray) -> tuple[slice, ...]:
    """A box around what either mask shows, a voxel wider where the volume is: the border is then where it was."""
    shown = (predicted > 0) | (true > 0)
    if not shown.any():
        return tuple(slice(0, min(2, size)) for size in shown.shape)
    bounds = []
    for axis in range(shown.ndim):
        along = np.flatnonzero(shown.any(axis=tuple(other for other in range(shown.ndim) if other != axis)))
        bounds.append(slice(max(0, int(along[0]) - 1), int(along[-1]) + 2))
    return tuple(bounds)
