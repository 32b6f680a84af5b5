"""The run of `probe.json`: labelled cases in, a frozen network's verdict, its model and its page out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from crossd.data import find_cases
from crossd.data.delimited import write_table
from crossd.errors import CrossDError
from crossd.evaluation import Predictions, evaluate
from crossd.evaluation.comparing import differences, key_figure
from crossd.evaluation.figure import Figure
from crossd.options import Options
from crossd.probe.choosing import COVARIATES, Candidate, Choice, Fit, Labelled, Recipe, each_and_all
from crossd.probe.features import FrozenFeatures, Seen
from crossd.probe.frozen import READING, Frozen, frozen_of_options
from crossd.probe.labelled import column_features, labelled_cases, one_hot
from crossd.probe.model_file import parted_head, probe_card, probe_network, probe_scope, write_model
from crossd.probe.outcomes import patients_of_classes
from crossd.probe.page import write_page
from crossd.probe.trivial import KINDS
from crossd.probe.verdict import Finding, predictions_of, verdict
from crossd.training.run_files import run_folder, write_datalist

logger = logging.getLogger(__name__)
CARD_FIGURES = {
    "auc": ("auc", "balanced_accuracy"),
    "quadratic_kappa": ("quadratic_kappa", "mae", "spearman", "balanced_accuracy"),
    "r2": ("r2", "mae", "spearman"),
}
CALLED = {"quadratic_kappa": ("weighted kappa", "mae_of_median"), "r2": ("R²", "mae_of_mean")}


@dataclass(frozen=True)
class Contest:
    """What one kind of features reached.

    Attributes:
        predictions: of cases that neither trained nor chose what says them.
        choices: one of each fit that said some of them.
        report: of `crossd.evaluation.evaluate`.
    """

    predictions: Predictions
    choices: Sequence[Choice]
    report: Mapping[str, Any]


def run_probe(options: Options, bundle_root: str) -> str:
    """Run a probe; the last entry of the `run` of probe.json.

    Writes into `output_dir`: `model.pt`, `report.html`, `results.csv` (a row for each of probe and baselines),
    `choice.csv` (what cross-validation said of each candidate), and of the probe `metrics.json`, `metrics.csv`,
    `predictions.csv` and plots.

    Returns:
        The verdict, which is the last line of the log too.

    Raises:
        CrossDError: as its parts.
    """
    folder = run_folder(options.output_dir)
    cases = labelled_cases(
        *(options.images, options.labels, options.task, options.classes, options.allow_untested, options.folds),
        options("image", "label", "patient"),
    )
    every = [*cases["train"], *cases["test"]]
    reading = options(*READING)
    frozen = frozen_of_options(options, bundle_root, every)
    kept = (options.cache_dir, options.cache_dir_gb, options.batch_size, options.device)
    read = FrozenFeatures(frozen, reading, *kept)
    every, seen = _readable(every, *read.of(every), folder, options.skip_unreadable)
    pools = _pools(options.unlabelled, read, reading)
    return _Probe(options, folder, cases["class_names"], frozen, every, seen, pools, cases.get("target")).run()


def _readable(
    cases: Sequence[dict[str, Any]], seen: Sequence[Seen | None], failed: Mapping[int, str], folder: Path, skip: bool
) -> tuple[list[dict[str, Any]], list[Seen]]:
    """The cases whose features are there; the others are refused, or listed in `skipped.csv`."""
    if failed and not skip:
        listed = "; ".join(f"{cases[number]['case']}: {why}" for number, why in failed.items())
        raise CrossDError(
            f"Every case must be readable, got {len(failed)} of {len(cases)} that are not: {listed}. "
            "Repair or remove them, or leave them out with --skip_unreadable true."
        )
    if failed:
        rows = [[cases[n]["case"], cases[n]["source"], cases[n]["split"], why] for n, why in failed.items()]
        write_table(folder / "skipped.csv", ("case", "source", "split", "reason"), rows)
        logger.warning("%d unreadable cases are left out: see %s", len(failed), folder / "skipped.csv")
    kept = [(case, one) for case, one in zip(cases, seen, strict=True) if one is not None]
    if not kept:
        raise CrossDError("Some case must be readable, got none. Repair them.")
    return [case for case, _ in kept], [one for _, one in kept]


def _pools(path: str | None, read: FrozenFeatures, reading: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """Features of volumes without labels, by view."""
    if path is None:
        return None
    cases = [case for case in find_cases(path, reading["series"], reading["tilt"]) if not case.get("skipped")]
    seen, failed = read.of(cases, "features of unlabelled volumes")
    for number, why in failed.items():
        logger.warning("the unlabelled %s is left out: %s", cases[number]["case"], why)
    return rows_of([one.views for one in seen if one is not None])


def rows_of(parts: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """By name `(cases, features)`.

    Raises:
        CrossDError: for no cases.
    """
    if len(parts) < 2:
        raise CrossDError(f"Features of several cases are needed, got those of {len(parts)}. Add cases.")
    return {name: np.stack([np.asarray(part[name], np.float64) for part in parts]) for name in parts[0]}


class _Probe:
    """Choosing, measuring and writing, once the features are there."""

    def __init__(
        self,
        options: Options,
        folder: Path,
        names: Sequence[str],
        frozen: Frozen,
        cases: Sequence[dict[str, Any]],
        seen: Sequence[Seen],
        pools: Mapping[str, np.ndarray] | None,
        target: Mapping[str, float] | None,
    ) -> None:
        self.target, self.key = target, key_figure(options.task)
        self.options, self.folder, self.names, self.frozen, self.cases, self.seen = (
            *(options, folder, names, frozen),
            *(cases, seen),
        )
        self.recipe = Recipe(
            options.task, options.class_weights, options.folds, options.strengths, options.repeats, options.seed
        )
        trivial, several = each_and_all(KINDS), bool(options.covariates)
        views = each_and_all([*seen[0].views], pools, options.components, usual=True, covariates=several)
        self.groups = {"probe": views, "trivial": trivial}
        self.groups |= {one.name: [one] for one in trivial[: len(KINDS)]}
        sets = {**rows_of([one.views for one in seen]), **rows_of([one.trivial for one in seen])}
        if options.covariates:
            self.covariates, sets[COVARIATES] = column_features(
                *(options.covariates, options.images, str(options.labels), options.task, names, cases),
                options("image", "label", "patient"),
            )
            self.groups[COVARIATES] = [Candidate((COVARIATES,))]
        self.labelled = Labelled(
            sets, one_hot([case["label"] for case in cases], len(names)), [case["patient"] for case in cases]
        )
        self.training = [number for number, case in enumerate(cases) if case["split"] != "test"]
        self.test = [number for number, case in enumerate(cases) if case["split"] == "test"]

    def run(self) -> str:
        """Measure, fit the model on all training cases, write, and say what was found."""
        training = self.labelled.take(self.training)
        if self.test:
            fits = self.recipe.fit(training, self.groups)
            test = self.labelled.take(self.test)
            said = {name: (self.recipe.probabilities(fit.logits(test)), [fit.choice]) for name, fit in fits.items()}
        else:
            folds = self.recipe.fold_count(training)
            with tqdm(total=folds + 1, desc="choosing and measuring") as progress:
                said = self.recipe.nested(training, self.groups, progress.update)
                fits = self.recipe.fit(training, {"probe": self.groups["probe"]})
                progress.update()
        contests = {name: self._contest(*found) for name, found in said.items()}
        finding = self._finding(contests)
        words = verdict(finding)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_model(fits["probe"], contests["probe"])
        write_datalist(self.folder / "datalist.csv", self.cases, self.names)
        about = {"Weights": self.frozen.weights["weights"], "Measured": finding.measured}
        if COVARIATES in fits["probe"].choice.candidate.sets:
            needed = ", ".join(self.options.covariates)
            about["model.pt needs"] = f"{needed} of each case: crossd predict --covariates TABLE"
            logger.info("%s: it needs %s of each case, crossd predict --covariates TABLE", "model.pt", needed)
        write_page(self.folder, words, contests, fits["probe"].choice, finding, about)
        logger.info("written to %s\n%s", self.folder, words)
        return words

    def _contest(self, probabilities: np.ndarray, choices: Sequence[Choice]) -> Contest:
        measured = self.test or self.training
        cases, targets = [self.cases[number] for number in measured], self.labelled.targets[measured]
        predictions = predictions_of(cases, probabilities, targets, self.names, self.options.task)
        return Contest(predictions, choices, evaluate(predictions, self.options.bootstrap_samples))

    def _finding(self, contests: Mapping[str, Contest]) -> Finding:
        probe = contests["probe"]
        beside = {name: one for name, one in contests.items() if name in ("trivial", COVARIATES)}
        best = max(beside, key=lambda name: Figure.of(beside[name].report, self.key).value)
        trivial = beside[best]
        training = self.labelled.take(self.training)
        each = [len(who) for who in patients_of_classes(training.targets, training.patients)]
        names = [*dict.fromkeys(choice.candidate.name for choice in trivial.choices)]
        of_number: dict[str, Any] = {}
        if self.key != "auc":
            error = Figure.of(probe.report, "mae").text(".4g")
            called, always = CALLED[self.key]
            words = f", mean absolute error {error} beside {probe.report[always]:.4g} by always saying the "
            of_number = {"called": called, "chance": 0.0, "beside": words + always.removeprefix("mae_of_")}
            of_number |= {} if len(names) == 1 else {"trivial": "figures chosen in each fold"}
        if self.target is not None:
            of_number |= {"rarest": "", "fewest": len({*training.patients})}
        both = trivial.predictions, probe.predictions
        _, _, ahead = differences(*both, samples=self.options.bootstrap_samples)[self.key]
        found = Finding(
            auc=Figure.of(probe.report, self.key),
            trivial=names[0] if len(names) == 1 else "chosen in each fold",
            trivial_auc=Figure.of(trivial.report, self.key),
            ahead=ahead,
            patients=probe.report["patients"],
            rarest=self.names[int(np.argmin(each))],
            fewest=min(each),
            measured="the test cases" if self.test else f"{len(probe.choices)} outer folds",
        )
        return replace(found, **of_number)

    def _write_model(self, fit: Fit, probe: Contest) -> None:
        o, head, covariates = self.options, fit.head, None
        views = tuple(name for name in fit.choice.candidate.sets if name != COVARIATES)
        if views != fit.choice.candidate.sets:
            head, covariates = parted_head(head, self.covariates, self.labelled.sets[COVARIATES][self.training])
        training, held_out = next(iter(self.recipe.parts(self.labelled.take(self.training))))
        numbers = np.array(self.training)
        scope = probe_scope(self.seen, views, numbers[training].tolist(), numbers[held_out].tolist())
        metrics = {name: probe.report["metrics"][name] for name in CARD_FIGURES[self.key]}
        data = Path(str(o.labels)).name
        said = (o.task, self.names, o.negative_class, data, metrics)
        card = probe_card(self.frozen, views, *said, scope, self.target, covariates)
        write_model(self.folder / "model.pt", probe_network(self.frozen, views, head), card)
