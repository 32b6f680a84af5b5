"""Damage good cases in every way there is, run the inference bundle on all of it, and judge what became of each."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from crossd.errors import CrossDError

from scripts.benchmarks.faults.dicom_damage import DICOM_DAMAGE
from scripts.benchmarks.faults.file_damage import FILE_DAMAGE, Damage, NotPossible
from scripts.benchmarks.faults.judgement import DEFECTS, Outcome, judge, same
from scripts.benchmarks.faults.runs import Runner, rows_below, run_all
from scripts.benchmarks.faults.small_model import small_model
from scripts.benchmarks.faults.sources import Source, copy_sources, make_sources
from scripts.benchmarks.faults.volume_damage import NIFTI_DAMAGE, TEXT_DAMAGE

DAMAGE: dict[str, dict[str, Damage]] = {
    "nifti": {**FILE_DAMAGE, **NIFTI_DAMAGE},
    "itk": {**FILE_DAMAGE, **TEXT_DAMAGE},
    "dicom": {**FILE_DAMAGE, **DICOM_DAMAGE},
}
_EXTRA_MEMORY = 2**30  # bytes that a run may hold more than a run on the good cases alone
_MOST_VOXELS = 2**24  # of a volume, where phantoms are damaged: 64 MiB as float32


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
    timeout: float = 240.0,
    progress: Callable[[str], None] = lambda line: None,
) -> Campaign:
    """Make damaged cases and judge them.

    Args:
        config: `inference.json`.
        count: of damaged cases; every kind of damage comes about as often.
        seed: of everything random.
        cases: good cases of one's own, of any size: the environment variable CROSSD_MAX_VOXELS, a little above theirs,
            then bounds what a damaged one can take. None: phantoms of ten formats.
        weights: the model; None: a small network with random weights.
        batch: damaged cases in one run, with all good ones among them.
        timeout: seconds for one run.
        progress: told what goes on.

    Raises:
        CrossDError: when the good cases alone do not all succeed.
    """
    with tempfile.TemporaryDirectory(prefix="faults") as name:
        place = Path(name)
        sources = make_sources(place / "good") if cases is None else copy_sources(cases, place / "good")
        model = str(weights or small_model(place / "model.pt"))
        bound = _MOST_VOXELS if cases is None else None
        run = Runner(place, str(config), model, timeout, 8 * _EXTRA_MEMORY, bound)
        first = run(place / "good")
        expected = {source.name: rows_below(run.found, source.folder) for source in sources}
        bad = [source for source, rows in expected.items() if not rows or any(row["status"] != "ok" for row in rows)]
        if first.code != 0 or bad:
            raise CrossDError(f"Good cases must succeed before they are damaged; {bad} did not. {first.tail[-600:]}")
        run.limit = first.peak + _EXTRA_MEMORY
        campaign = Campaign([], usual=first.peak)
        chosen = plan(sources, count, seed)
        for start in range(0, len(chosen), batch):
            part = chosen[start : start + batch]
            campaign.outcomes += _judge_batch(run, part, sources, expected, np.random.default_rng([seed, start]))
            progress(f"{len(campaign.outcomes)} of {len(chosen)} damaged cases, {len(campaign.defects)} defects")
        campaign.seconds, campaign.peak = run.seconds, run.peak
    return campaign


def plan(sources: Sequence[Source], count: int, seed: int = 0) -> list[tuple[Source, str]]:
    """Which sources to damage, and how.

    Every kind for every source in turn, from the start again where that is not enough. Of fewer, each kind for one of
    the sources, then any; of fewer than there are kinds, some of them.

    >>> few = plan([Source("a", Path("a"), "nifti"), Source("b", Path("b"), "itk")], 41)
    >>> len({kind for _, kind in few}) == len({*DAMAGE["nifti"], *DAMAGE["itk"]})
    True
    """
    pairs = [
        (source, list(DAMAGE[source.kind])[number])
        for number in range(max(map(len, DAMAGE.values())))
        for source in sources
        if number < len(DAMAGE[source.kind])
    ]
    if count < len(pairs):
        pairs = [pairs[index] for index in np.random.default_rng(seed).permutation(len(pairs))]
        of_kind = {pair[1]: pair for pair in pairs}
        pairs = [*of_kind.values(), *(pair for pair in pairs if of_kind[pair[1]] is not pair)]
    return [pairs[index % len(pairs)] for index in range(count)]


def _judge_batch(
    run: Runner,
    chosen: Sequence[tuple[Source, str]],
    sources: Sequence[Source],
    expected: dict[str, list[dict[str, Any]]],
    random: np.random.Generator,
) -> list[Outcome]:
    folder = run.place / "batch"
    outcomes: list[Outcome | None] = []
    for index, (source, kind) in enumerate(chosen):
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
    whole = run_all(run, sorted(folder.iterdir()))
    found = [row for rows in whole.values() for row in rows if isinstance(row, dict)]
    unchanged = all(same(rows_below(found, folder / "good" / name), rows) for name, rows in expected.items())
    for index, (source, kind) in enumerate(chosen):
        if outcomes[index] is None:
            rows = whole[folder / f"{index:04}"]
            outcomes[index] = judge(source.name, kind, rows, expected[source.name])
    shutil.rmtree(folder)
    if not unchanged:
        outcomes.append(Outcome("all", "a batch with damaged ones", "good cases changed"))
    return [outcome for outcome in outcomes if outcome is not None]
