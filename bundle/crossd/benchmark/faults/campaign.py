"""Damage good cases in every way there is, run the inference bundle on all of it, and judge what became of each."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossd.benchmark.faults.dicom_damage import DICOM_DAMAGE
from crossd.benchmark.faults.file_damage import FILE_DAMAGE, Damage, NotPossible
from crossd.benchmark.faults.sources import Source, copy_sources, make_sources
from crossd.benchmark.faults.volume_damage import ITK_DAMAGE, NIFTI_DAMAGE
from crossd.benchmark.faults.watch import Watched, watch
from crossd.errors import CrossDError

DAMAGE: dict[str, dict[str, Damage]] = {
    "nifti": {**FILE_DAMAGE, **NIFTI_DAMAGE},
    "itk": {**FILE_DAMAGE, **ITK_DAMAGE},
    "dicom": {**FILE_DAMAGE, **DICOM_DAMAGE},
}
DEFECTS = ("lost", "unnamed", "crash", "time", "memory", "good cases changed")
_UNNAMED = re.compile(r"^\w*(Error|Exception|Warning|Interrupt)\b: ")  # an exception that nobody put into words


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged case.

    Attributes:
        source: the good case it was made from.
        kind: what was done to it.
        result: "same" answer as the good case; "warned": another answer and a warning; "changed": another one without;
            "refused" with a reason; "skipped": this damage cannot be done here; or one of `DEFECTS`.
        reason: what the user is told.
    """

    source: str
    kind: str
    result: str
    reason: str = ""


@dataclass
class Campaign:
    """All outcomes, and what the runs took.

    Attributes:
        outcomes: one for each damaged case.
        seconds: of all runs.
        peak: bytes of the largest resident set.
        usual: the same for the good cases alone.
    """

    outcomes: list[Outcome]
    seconds: float = 0.0
    peak: int = 0
    usual: int = 0

    @property
    def defects(self) -> list[Outcome]:
        """What should not be."""
        return [outcome for outcome in self.outcomes if outcome.result in DEFECTS]


def run_campaign(
    config: str | os.PathLike[str],
    count: int = 540,
    seed: int = 0,
    cases: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    batch: int = 150,
    extra_memory: int = 2**30,
    timeout: float = 240.0,
    progress: Callable[[str], None] = lambda line: None,
) -> Campaign:
    """Make damaged cases and judge them.

    Args:
        config: `inference.json`.
        count: of damaged cases; every kind of damage comes about as often.
        seed: of everything random.
        cases: good cases of one's own; None: phantoms of ten formats.
        weights: the model; None: a small network with random weights.
        batch: damaged cases in one run, with all good ones among them.
        extra_memory: bytes that a run may hold more than a run on the good cases alone.
        timeout: seconds for one run.
        progress: told what goes on.

    Raises:
        CrossDError: when the good cases alone do not all succeed.
    """
    with tempfile.TemporaryDirectory(prefix="faults") as name:
        place = Path(name)
        sources = make_sources(place / "good") if cases is None else copy_sources(cases, place / "good")
        run = _Runner(place, str(config), str(weights or _small_model(place / "model.pt")), timeout, extra_memory)
        first = run(place / "good")
        expected = {source.name: _rows(run.found, source.folder) for source in sources}
        bad = [source for source, rows in expected.items() if not rows or any(row["status"] != "ok" for row in rows)]
        if first.code != 0 or bad:
            raise CrossDError(f"Good cases must succeed before they are damaged; {bad} did not. {first.tail[-600:]}")
        run.limit = first.peak + extra_memory
        campaign = Campaign([], usual=first.peak)
        plan = _plan(sources, count, seed)
        for start in range(0, len(plan), batch):
            part = plan[start : start + batch]
            campaign.outcomes += _judge_batch(run, part, sources, expected, np.random.default_rng([seed, start]))
            progress(f"{len(campaign.outcomes)} of {len(plan)} damaged cases, {len(campaign.defects)} defects")
        campaign.seconds, campaign.peak = run.seconds, run.peak
    return campaign


def _plan(sources: Sequence[Source], count: int, seed: int = 0) -> list[tuple[Source, str]]:
    """Every kind for every source in turn, from the start again where that is not enough; of fewer, any."""
    pairs = [
        (source, list(DAMAGE[source.kind])[number])
        for number in range(max(map(len, DAMAGE.values())))
        for source in sources
        if number < len(DAMAGE[source.kind])
    ]
    if count < len(pairs):
        pairs = [pairs[index] for index in np.random.default_rng(seed).permutation(len(pairs))]
    return [pairs[index % len(pairs)] for index in range(count)]


class _Runner:
    """Runs the bundle on a folder, and remembers what it needed."""

    def __init__(self, place: Path, config: str, weights: str, timeout: float, limit: int) -> None:
        self.place, self.config, self.weights, self.timeout = place, config, weights, timeout
        self.limit = 8 * limit
        self.seconds, self.peak = 0.0, 0
        self.found: list[dict[str, Any]] = []

    def __call__(self, images: Path) -> Watched:
        output = self.place / "output"
        shutil.rmtree(output, ignore_errors=True)
        command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", self.config]
        command += ["--images", str(images), "--output_dir", str(output), "--weights", self.weights]
        command += ["--backend", "eager"]
        done = watch(
            command,
            self.timeout,
            self.limit,
            OMP_NUM_THREADS="1",
            PYTHONWARNINGS="ignore",
            CROSSD_MAX_VOXELS=str(2**24),
        )
        self.seconds += done.seconds
        self.peak = max(self.peak, done.peak)
        try:
            self.found = json.loads((output / "predictions.json").read_text(encoding="utf-8"))["cases"]
        except (OSError, ValueError):
            self.found = []
        return done


def _judge_batch(
    run: _Runner,
    plan: Sequence[tuple[Source, str]],
    sources: Sequence[Source],
    expected: dict[str, list[dict[str, Any]]],
    random: np.random.Generator,
) -> list[Outcome]:
    folder = run.place / "batch"
    outcomes: list[Outcome | None] = []
    for index, (source, kind) in enumerate(plan):
        damaged = folder / f"{index:04}"
        source.copy_to(damaged)
        try:
            DAMAGE[source.kind][kind](damaged, random)
            outcomes.append(None)
        except NotPossible as error:
            shutil.rmtree(damaged)
            outcomes.append(Outcome(source.name, kind, "skipped", str(error)))
    for source in sources:
        source.copy_to(folder / "good" / source.name)
    whole = _run_all(run, sorted(folder.iterdir()))
    found = [row for rows in whole.values() for row in rows if isinstance(row, dict)]
    unchanged = all(_same(_rows(found, folder / "good" / name), rows) for name, rows in expected.items())
    for index, (source, kind) in enumerate(plan):
        if outcomes[index] is None:
            rows = whole[folder / f"{index:04}"]
            outcomes[index] = _judge(source, kind, rows, expected[source.name])
    shutil.rmtree(folder)
    if not unchanged:
        outcomes.append(Outcome("all", "a batch with damaged ones", "good cases changed"))
    return [outcome for outcome in outcomes if outcome is not None]


def _run_all(run: _Runner, folders: Sequence[Path]) -> dict[Path, list[dict[str, Any]] | str]:
    """The rows of each folder; where a run ends before its end, of each half, and down to the one."""
    tree = folders[0]
    if len(folders) > 1:  # one tree of all of them
        tree = folders[0].with_name("run")
        tree.mkdir()
        for folder in folders:
            folder.rename(tree / folder.name)
    done = run(tree)
    found = [{**row, "source": row["source"].replace(str(tree), str(folders[0].parent), 1)} for row in run.found]
    if len(folders) > 1:
        for folder in folders:
            (tree / folder.name).rename(folder)
        tree.rmdir()
    if not done.ended and (done.code in (0, 2) or (done.code == 1 and found)):
        return {folder: _rows(found, folder) for folder in folders}
    if len(folders) > 1:
        middle = len(folders) // 2
        return _run_all(run, folders[:middle]) | _run_all(run, folders[middle:])
    if done.code == 1 and "error: " in done.tail:  # all there was is refused as a whole
        return {folders[0]: [{"source": str(folders[0]), "status": "failed", "reason": done.tail.split("error: ")[-1]}]}
    return {folders[0]: done.ended or "crash"}


def _rows(found: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    return [row for row in found if row["source"] == str(folder) or row["source"].startswith(f"{folder}{os.sep}")]


def _same(rows: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]) -> bool:
    """Equal answers, in any order."""
    values, wanted = (sorted(json.dumps(row.get("probabilities")) for row in some) for some in (rows, expected))
    return values == wanted and all(row["status"] == "ok" for row in rows)


def _judge(source: Source, kind: str, rows: list[dict[str, Any]] | str, expected: list[dict[str, Any]]) -> Outcome:
    if isinstance(rows, str):
        return Outcome(source.name, kind, rows)
    told = "; ".join(str(row["reason"]) for row in rows if row["status"] != "ok")
    warned = "; ".join(warning for row in rows for warning in row.get("warnings") or [])
    numbers = [value for row in rows for value in (row.get("probabilities") or {}).values()]
    if not rows:
        return Outcome(source.name, kind, "lost")
    if any(not row["reason"] or _UNNAMED.match(row["reason"]) for row in rows if row["status"] != "ok"):
        return Outcome(source.name, kind, "unnamed", told)
    if not np.isfinite(numbers).all():
        return Outcome(source.name, kind, "unnamed", f"probabilities {numbers} under status ok")
    if told:
        return Outcome(source.name, kind, "refused", told)
    answers = [row.get("probabilities") for row in rows]
    if all(row["probabilities"] in answers for row in expected):  # of a second series in the folder, more
        return Outcome(source.name, kind, "same", warned)
    return Outcome(source.name, kind, "warned" if warned else "changed", warned)


def _small_model(path: Path) -> Path:
    """A network with random weights: reading is what is tried, not the answer."""
    import torch

    from crossd.checkpoints import save_checkpoint
    from crossd.inference import network_from_card

    shape = {"channels": ["image"], "plane": "axial", "spacing": [1.0, 1.0, 1.0], "roi_size": [32, 32, 32]}
    scale = {"intensity": {"mode": "range", "lower": None, "upper": None}, "mean": 0.5, "std": 0.5}
    card = {
        **{
            "format": 1,
            "task": "multiclass",
            "class_names": ["absent", "present"],
            "negative_class": 0,
            "input": shape | scale,
        },
        "network": {"spatial_dims": 3, "in_channels": 1, "num_classes": 2, "depth": 10, "width": 4},
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = network_from_card(card)
        with torch.no_grad():
            network.get_parameter("fc.weight").mul_(20)  # so that other voxels have another answer
        save_checkpoint(path, network, card=card)
    return path
