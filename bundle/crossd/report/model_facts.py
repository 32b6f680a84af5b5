"""What a reader has to know of the model: the facts of its card, and of the bundle where it is the bundle's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossd.bundle import own_metadata
from crossd.cards.operating_point import OperatingPoint
from crossd.version import __version__

_METRICS = {"auc": "AUC", "balanced_accuracy": "balanced accuracy"}
_METRICS |= {"r2": "R²", "mae": "mean absolute error", "val_r2": "validation R²", "val_mae": "validation MAE"}
_METRICS |= {"quadratic_kappa": "quadratic weighted kappa"}
_METRICS |= {"val_auc": "validation AUC", "val_dice": "validation Dice"}
RULES = {"multilabel": "any number of these", "ordinal": "one of these grades", "regression": "a number"}
UNSTATED = "Its intended use is not stated by this checkpoint. crossd is for research; it is not a medical device."


def model_facts(
    card: Mapping[str, Any], metadata: str | Path | None = None, weights: str | None = None
) -> dict[str, str]:
    """Name, version, intended use, input and data of a model, as text.

    The bundle's `metadata.json` speaks of the model it was published with. A checkpoint with another card, your own
    for instance, is another model, so name, version and intended use are then not taken from there.

    >>> card = {"task": "multiclass", "class_names": ["a", "b"], "negative_class": None, "data": "phantoms"}
    >>> model_facts(card | {"input": {"plane": "axial", "spacing": None, "channels": ["t1"]}})["Input"]
    '1 channel (t1), axial slices, voxels as they are'
    """
    own = own_metadata(card, metadata)
    classes = list(card["class_names"])
    negative = card.get("negative_class")
    named = [f"{name} (nothing found)" if index == negative else name for index, name in enumerate(classes)]
    segments = card.get("task") == "segmentation"
    rule = RULES.get(str(card.get("task")), "one of these")
    facts = {
        "Model": str(own.get("name", "a checkpoint of your own")),
        "Version": f"{own['version']}, crossd {__version__}" if own else f"crossd {__version__}",
        "Weights": Path(weights).name if weights else "",
        "Says": f"a mask of {', '.join(classes[1:])}" if segments else f"{rule}: {', '.join(named)}",
        "Input": _input(card.get("input") or {}),
        "Needs": ", ".join((card.get("covariates") or {}).get("columns", ())),
        "Trained on": _text(card.get("data")),
        "Operating point": _operating_point(card),
        "Scope": _scope(card.get("scope")),
        "Measured": _metrics(own.get("eval_metrics") if own else card.get("metrics")),
        "Intended use": str(own.get("intended_use") or UNSTATED),
    }
    return {term: text for term, text in facts.items() if text}


def _input(seen: dict[str, Any]) -> str:
    channels = list(seen.get("channels") or [])
    parts = [f"{len(channels)} channel{'s' * (len(channels) != 1)} ({', '.join(map(str, channels))})"]
    parts += [f"{seen['plane']} slices"] if seen.get("plane") else []
    spacing = seen.get("spacing")
    parts += [f"voxels of {_by(spacing)} mm" if spacing else "voxels as they are"]
    if "roi_size" in seen:
        roi_size = seen["roi_size"]
        parts += ["whole volumes" if roi_size is None else f"windows of {_by(roi_size)} voxels"]
    intensity = seen.get("intensity") or {}
    limits = f"{_number(intensity.get('lower'))} to {_number(intensity.get('upper'))}"
    grey = {"window": f"grey values {limits}", "percentile": f"grey values from percentile {limits}"}
    parts += [grey.get(intensity["mode"], "full range of grey values")] if intensity.get("mode") else []
    return ", ".join(parts)


def _operating_point(card: Mapping[str, Any]) -> str:
    entry = card.get("operating_point")
    if not entry:
        return ""
    point = OperatingPoint.of(card)
    chosen = point.limits and point.thresholds
    return point.words + (f" ({entry['rule']}, {entry['cases']} held-out cases)" if chosen else "")


def _scope(scope: Any) -> str:
    if not scope:
        return "not known: whether a case is like the training cases cannot be told"
    training, validation = scope["cases"]
    return f"of {training} training cases; {100 * scope['quantile']:g} % of {validation} validation cases are inside"


def _metrics(metrics: Any) -> str:
    """The best-known figures, of a card (`{"val_auc": 0.9}`) or metadata (`{"auc": {"value", "low", "high"}}`)."""
    lines = []
    for name, title in _METRICS.items():
        entry = metrics.get(name) if isinstance(metrics, dict) else None
        digits = ".4g" if name.endswith("mae") else ".2f"  # of what has a unit, and what has none
        if isinstance(entry, dict) and isinstance(entry.get("value"), int | float):
            known = all(isinstance(entry.get(end), int | float) for end in ("low", "high"))
            interval = f" (95 % {entry['low']:{digits}} to {entry['high']:{digits}})" if known else ""
            lines.append(f"{title} {entry['value']:{digits}}{interval}")
        elif isinstance(entry, (int, float)):
            lines.append(f"{title} {entry:{digits}}")
    return ", ".join(lines)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value) if value else ""


def _by(values: Any) -> str:
    """`[1.0, 1.0, 2.5]` as "1 × 1 × 2.5"."""
    return " × ".join(_number(value) for value in values) if isinstance(values, (list, tuple)) else _number(values)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
