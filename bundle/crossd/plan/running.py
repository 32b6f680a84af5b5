"""The run of `plan.json`: a folder of volumes in, settings for a training with their reasons out."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from crossd.cards.from_weights import base_card
from crossd.cards.tasks import task_of
from crossd.checkpoints.registry import PRETRAINED
from crossd.data import find_cases, read_labels
from crossd.data.class_counts import class_counts
from crossd.data.delimited import write_table
from crossd.data.splits import SPLITS
from crossd.errors import CrossDError
from crossd.files import write_whole
from crossd.options import Options
from crossd.plan.case_facts import CaseFacts, look, troubles
from crossd.plan.duration import with_duration
from crossd.plan.plan_page import write_page
from crossd.plan.proposal import Setting, misfits, propose
from crossd.texts import printable

logger = logging.getLogger(__name__)
COLUMNS = ("case", "shape", "spacing", "modality", "low", "median", "high", "reason")
VOXELS = {"cpu": 64**3, "cuda": 128**3}  # of a window, by device


def run_plan(options: Options, bundle_root: str) -> list[Setting]:
    """Look at the cases, and write what is found and proposed; the last entry of the `run` of plan.json.

    Writes into `output_dir`: `plan.yaml`, a config that changes `train.json`; `report.html`; `cases.csv`.

    Args:
        options: of the config.
        bundle_root: of the bundle.

    Returns:
        The settings that are proposed.

    Raises:
        CrossDError: for labels that cannot be used, and where no case can be read.
    """
    folder = Path(options.output_dir)
    reading = options("series", "tilt", "volume")
    listed = _cases(options, reading)
    cases = [case for split in SPLITS for case in listed[split]] if options.labels else listed["all"]
    facts = look(cases, reading, folder / "facts", options.num_workers)
    names, training = listed.get("class_names") or [], len(listed.get("train", ()))
    voxels = options.voxels or VOXELS.get(torch.device(options.device).type, VOXELS["cpu"])
    base = base_card(options.weights, bundle_root)
    named = options.weights if options.weights in PRETRAINED else None
    settings = propose(facts, voxels, training, names, named)
    settings = with_duration(settings, base, max(2, len(names)), training, options.device)
    trouble = troubles(facts, cases)
    if named is None:
        trouble += [f"{options.weights}: {why}" for why in misfits(base["input"], settings)]
    write_table(folder / "cases.csv", COLUMNS, map(_row, facts))
    write_whole(folder / "plan.yaml", plan_text(settings, len(facts)))
    classes = names if task_of(options.task).classifies else []
    labels = {split: [case["label"] for case in listed[split]] for split in SPLITS if classes}
    write_page(folder, facts, settings, trouble, class_counts(classes, labels), cases, base["input"], reading)
    for setting in settings:
        logger.info("%s: %s  (%s)", setting.name, json.dumps(setting.value), setting.reason)
    for line in trouble:
        logger.warning("%s", line)
    logger.info("the plan is %s; its page %s", folder / "plan.yaml", folder / "report.html")
    return settings


def _cases(options: Options, reading: Mapping[str, Any]) -> dict[str, Any]:
    if options.labels:
        return read_labels(
            options.images,
            options.labels,
            task=options.task,
            classes=options.classes,
            allow_untested=True,
            columns=options("image", "label", "patient"),
        )
    cases = find_cases(options.images, reading["series"], reading["tilt"])
    return {"all": [case for case in cases if not case.get("skipped")]}


def plan_text(settings: Sequence[Setting], cases: int) -> str:
    """The settings as YAML, each with its reason, which changes `train.json`.

    >>> print(plan_text([Setting("epochs", 20, "few cases")], 3), end="")
    # Proposed for 3 cases: crossd train DIR --labels labels.csv --plan plan.yaml
    epochs: 20  # few cases
    """
    lines = [f"# Proposed for {cases} cases: crossd train DIR --labels labels.csv --plan plan.yaml"]
    lines += [f"{one.name}: {json.dumps(one.value)}  # {printable(one.reason)}" for one in settings]
    return "\n".join(lines) + "\n"


def _row(one: CaseFacts) -> list[Any]:
    return [one.case, _times(one.shape), _times(one.spacing), one.modality, *(one.values or ("", "", "")), one.error]


def _times(values: Sequence[float]) -> str:
    return "×".join(f"{value:g}" for value in values)


def read_plan(path: str | Path) -> dict[str, Any]:
    """The settings of a plan, by name.

    Raises:
        CrossDError: for a file that is none.
    """
    from monai.bundle import ConfigParser

    try:
        found = ConfigParser.load_config_file(str(path))
    except Exception as error:  # of YAML, files and MONAI
        raise CrossDError(f"A plan is YAML that `crossd plan` writes; '{path}' cannot be read: {error}.") from error
    return dict(found or {})
