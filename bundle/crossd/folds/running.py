"""The cross-validation of train.json: one fold after the other by the same config, resumed fold by fold."""

from __future__ import annotations

import copy
import gc
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import Dataset

from crossd.callers import caller_of
from crossd.cards.operating_point import OperatingPoint
from crossd.cards.tasks import task_of
from crossd.checkpoints import read_card
from crossd.data import preprocessing, read_labels
from crossd.data.delimited import read_table, write_table
from crossd.data.numbers import target_of
from crossd.errors import CrossDError, counted
from crossd.evaluation import Predictions
from crossd.evaluation.evaluating import write_by_patient
from crossd.evaluation.tables import read_predictions, summary
from crossd.folds.calibrating import calibrated_across
from crossd.folds.joining import OF_ONE, join_models
from crossd.folds.parting import parted, write_parts
from crossd.folds.pooling import judged, pooled
from crossd.options import Options, literal
from crossd.processes import process_count
from crossd.report.evaluation_page import EvaluationPage
from crossd.training.card_writer import calibration_words
from crossd.training.run_files import newest_checkpoint, run_folder, write_datalist

logger = logging.getLogger(__name__)
ENTRY = "@cross_validation"  # in the `run` of train.json; what follows it trains
DONE = Path("evaluation", "predictions.csv")  # of a fold: written when it is trained and measured


def in_folds(options: Options, bundle_root: str) -> None:
    """Cross-validate where `folds` is a number, in place of the rest of the `run`; otherwise nothing is done.

    Each fold is the run that this config is, with cases and folder of its own: `fold_0` and so on below `output_dir`,
    each with its `evaluation`. A fold that is done is not trained again, one that was ended goes on, unless `resume` is
    false. Into `output_dir` go `model.pt`, an `Ensemble` of all folds; `out_of_fold/`, the report on what each fold
    said of its test cases, with `folds.csv`; and `datalist.csv`.

    Args:
        options: of the config that is being run.
        bundle_root: of the bundle, whose evaluate.json measures the folds.

    Raises:
        CrossDError: without labels, in several processes, and as training and `parted`.
    """
    from monai.bundle import ConfigParser

    parser = caller_of(ConfigParser)
    if options.folds is None or parser is None:
        return
    wrong = [
        *(["no labels"] if options.labels is None else []),
        *([f"{process_count()} processes"] if process_count() > 1 else []),
        *(["--calibration isotonic, which no ensemble keeps"] if options.calibration == "isotonic" else []),
        *(f"{name}.json" for name in parser["options::config"] if name != "train"),
    ]
    if wrong:
        raise CrossDError(
            f"Folds are parts of labelled volumes, each trained by train.json in one process; got {', '.join(wrong)}. "
            "Leave --folds out, or pass --labels FILE.csv to train.json alone."
        )
    run, config = parser["run"], copy.deepcopy(parser.get())
    rest = run[run.index(ENTRY) + 1 :]
    for number in range(len(run) - len(rest), len(run)):
        parser[f"run::{number}"] = None
    _CrossValidation(options, {**config, "run": rest, "folds": None}, bundle_root).run()


class _CrossValidation:
    def __init__(self, options: Options, config: Mapping[str, Any], bundle_root: str) -> None:
        self.options, self.config, self.bundle_root = options, config, Path(bundle_root)
        self.folder = run_folder(options.output_dir).absolute()
        self.cases = read_labels(
            options.images,
            options.labels,
            task=options.task,
            classes=options.classes,
            split_fractions=None,
            allow_untested=True,
            columns=options("image", "label", "patient"),
        )
        self.names = self.cases["class_names"]

    def run(self) -> None:
        """All folds, then what they are together."""
        o = self.options
        folds = parted(self.cases, o.folds, o.repeats, o.split_fractions, o.split_seed)
        folders = [self.folder / f"fold_{number}" for number in range(len(folds))]
        if not o.resume:
            for folder in folders:
                (folder / DONE).unlink(missing_ok=True)
        took: list[float] = []
        for number, (folder, cases) in enumerate(zip(folders, folds, strict=True)):
            left = f", about {np.mean(took) * (len(folds) - number) / 60:.0f} minutes are left" if took else ""
            logger.info("fold %d of %d: %s%s", number + 1, len(folds), folder, left)
            began, done = time.monotonic(), (folder / DONE).is_file()
            labels = folder / Path(o.labels).with_suffix(".csv").name
            write_parts(labels, cases, self.names)
            self._fold(folder, labels)
            took += [] if done else [time.monotonic() - began]
        self._join(folders)

    def _fold(self, folder: Path, labels: Path) -> None:
        own = {"labels": str(labels), "output_dir": str(folder), "classes": list(self.names), "task": self.options.task}
        config = {**copy.deepcopy(self.config), **{name: literal(value) for name, value in own.items()}}
        config |= dict.fromkeys(("image", "label", "patient"))  # it has our columns
        training = _Prepared({**config, "allow_untested": True})
        training.run(slice(0, -1))  # what refuses other settings than those that a fold was started with
        if (folder / DONE).is_file():
            stored = newest_checkpoint(folder)
            if stored is None or stored["settings"]["epochs"] == self.options.epochs:
                logger.info("%s is done", folder.name)
                return
            (folder / DONE).unlink()  # it goes on
        training.run(slice(-1, None))
        del training
        gc.collect()  # the cases that it holds in memory
        _Prepared(config, self.bundle_root / "configs" / "evaluate.json", split="test").run(slice(-1, None))
        gc.collect()

    def _join(self, folders: list[Path]) -> None:
        o = self.options
        parts = [read_predictions(folder / DONE, self.names, o.task) for folder in folders]
        predictions, folds = pooled(parts)
        predictions, calibration = self._calibrated(predictions, folders)
        report = judged(predictions, folds, o.repeats)
        out = self.folder / "out_of_fold"
        out.mkdir(exist_ok=True)
        first = read_card(folders[0] / "model.pt")
        task = task_of(o.task)
        figures, beside = (_FIGURES, "majority_rate") if task.classifies else (_OF_NUMBER, "mae_of_mean")
        figures, beside = (_OF_GRADES, "mae_of_median") if task.ordered else (figures, beside)
        metrics = {name: report["metrics"][name] for name in (_OF_ALL if figures is _FIGURES else figures)}
        of_all: dict[str, Any] = {"data": Path(o.labels).name, "metrics": metrics, **calibration}
        if not task.classifies:
            of_all["target"] = target_of([*self.cases["train"], *self.cases["val"]], str(o.labels))
        elif o.operating_point is not None and not task.ordered:
            chances, true = predictions.probabilities.numpy(), predictions.targets.numpy()
            of_all["operating_point"] = OperatingPoint.of(first).chosen(chances, true, o.operating_point).entry()
        card = {**{name: value for name, value in first.items() if name not in OF_ONE}, **of_all}
        look = preprocessing(card["input"], **o("series", "tilt", "volume"))
        volumes = Dataset([*self.cases["train"], *self.cases["val"]], look)
        page = EvaluationPage(str(out), self.names, o.task, volumes, card)
        page.write({**report, "splits": ["out-of-fold"], "weights": str(folders[0] / "model.pt")}, predictions)
        said = read_table(out / "predictions.csv")
        numbered = ([*row.values(), fold] for row, fold in zip(said.rows, folds, strict=True))
        write_table(out / "predictions.csv", [*said.columns, "fold"], numbered)
        write_by_patient(out / "by_patient", predictions)
        rows = [_row(folder, figures, beside) for folder in folders]
        columns = [f"{name}{end}" for name in figures for end in ("", "_low", "_high")]
        write_table(out / "folds.csv", ["fold", "cases", "patients", *columns, beside], rows)
        temperature = calibration["calibration"]["temperature"] if calibration else 1.0
        join_models([folder / "model.pt" for folder in folders], self.folder / "model.pt", of_all, temperature)
        every = [*self.cases["train"], *self.cases["val"]]
        listed = [*({**case, "split": "train"} for case in every), *self.cases["test"]]
        write_datalist(self.folder / "datalist.csv", listed, self.names)
        logger.info("out of fold, %s:\n%s\nwritten to %s", counted(len(folders), "fold"), summary(report), out)

    def _calibrated(self, predictions: Predictions, folders: Sequence[Path]) -> tuple[Predictions, dict[str, Any]]:
        """By all folds together, where one had too few validation cases; and the entry of the card."""
        alone = all("calibration" in read_card(folder / "model.pt") for folder in folders)
        if alone or self.options.calibration is None or not task_of(self.options.task).classifies:
            return predictions, {}
        found = calibrated_across(predictions)
        if found is None:
            logger.warning("a temperature of all folds needs more cases of each class: none is fitted")
            return predictions, {}
        logger.info("calibrated on %d out-of-fold cases: %s", len(predictions.cases), calibration_words(found[1]))
        return found[0], {"calibration": found[1]}


_OF_ALL = ("auc", "auc_within_folds", "balanced_accuracy")
_FIGURES = ("auc", "balanced_accuracy", "accuracy")
_OF_NUMBER = ("r2", "mae", "spearman")
_OF_GRADES = ("quadratic_kappa", "mae", "balanced_accuracy")


def _row(folder: Path, names: Sequence[str], beside: str) -> list[Any]:
    report = json.loads((folder / DONE).with_name("metrics.json").read_text(encoding="utf-8"))
    figures = [report["metrics"][name][of] for name in names for of in ("value", "low", "high")]
    return [folder.name, report["cases"], report["patients"], *figures, report[beside]]


class _Prepared:
    """A config of which entries of the `run` can be run, once what it initialises is done."""

    def __init__(self, config: Mapping[str, Any], overlay: Path | None = None, **values: Any) -> None:
        from monai.bundle import ConfigParser
        from monai.bundle.utils import merge_kv

        self.parser = ConfigParser(copy.deepcopy(dict(config)))
        changes = {} if overlay is None else ConfigParser.load_config_file(str(overlay))
        for name, value in {**changes, **values}.items():
            merge_kv(self.parser, name, value)
        self._parse("initialize", slice(None))

    def run(self, which: slice) -> None:
        self._parse("run", which)

    def _parse(self, name: str, which: slice) -> None:
        for number in range(len(self.parser[name]))[which]:
            self.parser.get_parsed_content(f"{name}::{number}")
