"""The bundle's configs as MONAI runs them, in this process, and what a user is told where a run is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crossd.errors import rule_broken
from monai.bundle import ConfigWorkflow

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def workflow(*configs: str, **options: Any) -> ConfigWorkflow:
    """A prepared workflow of configs, by name or as files, each over those before it; options may be paths."""
    files = [str(CONFIGS / f"{config}.json") if "." not in config else config for config in configs]
    kind = "inference" if Path(configs[0]).name.startswith("inference") else "train"
    given = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    made = ConfigWorkflow(files if files[1:] else files[0], workflow_type=kind, logging_file=False, **given)
    made.initialize()
    return made


def run(*configs: str, **options: Any) -> ConfigWorkflow:
    """The workflow when it has run."""
    made = workflow(*configs, **options)
    made.run()
    return made


def refused(call: Callable[[], Any], *said: str) -> None:
    """A run ends by a broken rule whose message holds this."""
    with pytest.raises(RuntimeError) as caught:  # MONAI's, ours is its cause
        call()
    message = str(rule_broken(caught.value))
    assert all(part in message for part in said), message


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def card_input(size: int, **changes: Any) -> dict[str, Any]:
    """The `input` of a card of one grey channel, for windows of so many voxels a side."""
    seen = {"channels": ["image"], "plane": "axial", "spacing": None, "roi_size": [size] * 3}
    return {**seen, "intensity": {"mode": "range"}, "mean": 0.0, "std": 1.0, **changes}
