"""The page of an evaluation: how good the model is in a sentence, and below it what a reviewer asks for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from crossd.cards.tasks import task_of
from crossd.data.delimited import read_table
from crossd.errors import CrossDError, counted
from crossd.evaluation.evaluating import EvaluationReport
from crossd.evaluation.figure import Figure
from crossd.evaluation.plots import plots_of
from crossd.evaluation.predictions import Predictions
from crossd.evaluation.tables import BESIDE, TITLES, groups_named
from crossd.evaluation.values import figure_text
from crossd.files import write_whole
from crossd.report.case_pictures import pictures_of
from crossd.report.checklist import checklist
from crossd.report.model_facts import model_facts
from crossd.report.plain_page import bullets, facts, pictures, plain_page, png_uri, table
from crossd.report.value_page import CURVES as VALUE_CURVES
from crossd.report.value_page import GRADE_NOTES, grade_verdict, value_extremes, value_verdict, value_words
from crossd.report.value_page import NOTES as VALUE_NOTES
from crossd.training.card_writer import calibration_words
from crossd.training.run_files import newest_checkpoint

SHOWN = 10  # cases of each kind
CAPTIONS = {  # of plots, by the names of their files
    **VALUE_CURVES,
    "confusion": "Cases by truth and answer",
    "roc": "ROC curve; the point is the threshold, where there is one",
    "precision_recall": "Precision and recall; dotted: the share of the class",
    "calibration": "Calibration, with the number of cases",
    "decision": "Decision curve: net benefit of acting on cases above a probability",
}
WIDE = 0.2  # an interval of the AUC that says little
NOTES = (
    "Intervals are 95 %, by bootstrap over patients. Calibration and threshold come from validation cases, not from "
    "these; in a cross-validation from out-of-fold cases, each calibrated without its own patient. An interval of no "
    "width, as 1.000 to 1.000, says that the draws agree, not that nothing can go wrong.",
    "Sensitivity is the share of positive cases that are found, specificity that of negative ones that are left alone; "
    "PPV and NPV hold for the share of positive cases here, or for the prevalence that is named.",
    "AUROC and average precision do not depend on a threshold. The Brier score sums over classes: 0 is best, 2 worst. "
    "ECE compares the probability of the answer with how often it is right, in bins of 0.1.",
    "Net benefit: cases rightly acted on, less those wrongly acted on, weighted by the odds of the threshold.",
)

logger = logging.getLogger(__name__)


class EvaluationPage(EvaluationReport):
    """`EvaluationReport` that writes `evaluation.html` too.

    Args:
        dataset: of the cases, with `data`, their items, and preprocessed volumes as `image`.
        card: of the model.
        others: of `EvaluationReport`.
    """

    def __init__(
        self,
        output_dir: str,
        class_names: Sequence[str],
        task: str,
        dataset: Any,
        card: Mapping[str, Any],
        **others: Any,
    ) -> None:
        super().__init__(output_dir, class_names, task, card=card, cases=dataset.data, **others)
        self.card = card
        self.dataset = dataset

    def write(self, report: Mapping[str, Any], predictions: Predictions) -> None:
        """Tables, plots and page."""
        super().write(report, predictions)
        groups = [
            table(
                [column, "cases", "patients", *(TITLES[name] for name in groups_named(report)), ""], map(_group, rows)
            )
            for column, rows in report.get("subgroups", {}).items()
        ]
        plots = {name: png_uri(self.output_dir / f"{name}.png") for name in plots_of(self.task)}
        task = task_of(self.task)
        notes: Sequence[str]
        if task.ordered or not task.classifies:
            wrong, right = value_extremes(predictions, SHOWN)
            words = "The largest errors", "The smallest errors"
            said = grade_verdict(report) if task.ordered else value_verdict(report)
            notes = GRADE_NOTES if task.ordered else VALUE_NOTES
        else:
            wrong, right = extremes(predictions)
            words = "The worst errors", "The most certain hits"
            said, notes = verdict(report), NOTES
        if task.classifies:
            shown = {
                f"Answers: {report['operating_point']}": pictures(
                    [(CAPTIONS["confusion"], plots.pop("confusion"))], large=True
                ),
                "Curves": pictures((CAPTIONS[name], uri) for name, uri in plots.items()),
            }
        else:
            shown = {"Case by case": pictures((CAPTIONS[name], uri) for name, uri in plots.items())}
        sections = {
            "What was reached": _figures(report),
            **shown,
            "In groups of cases": "".join(groups),
            words[0]: self._cases(predictions, wrong),
            words[1]: self._cases(predictions, right),
            "The model and the data": facts(self._facts(report)),
            "Draft for CLAIM 2024 and TRIPOD+AI": "".join(
                f"<h3>{section}</h3>{facts(items)}" for section, items in self._draft(report).items()
            ),
            "How to read this": bullets(notes),
        }
        name = " or ".join(report["classes"])
        write_whole(self.output_dir / "evaluation.html", plain_page(f"Evaluation of {name}", said, sections))

    def _cases(self, predictions: Predictions, rows: Sequence[int]) -> str:
        """Middle slices of cases, with what was said of them."""
        if not rows:
            return bullets(["There are none."])
        place = {str(item.get("case")): number for number, item in enumerate(self.dataset.data)}
        words = _class_words if task_of(self.task).classifies else value_words
        shown: list[tuple[str, *tuple[str, ...]]] = []
        for row in rows:
            case = predictions.cases[row]
            try:
                volume = self.dataset[place[case]]["image"]
                drawn, _ = pictures_of(volume, {}, self.card["input"], 1)
            except (CrossDError, KeyError, RuntimeError) as error:  # the figures are worth more than a picture
                logger.warning("no picture of %s: %s", case, error)
                continue
            shown.append((f"{case}: {words(predictions, row)}", *(one.grey for one in drawn)))
        return pictures(shown)

    def _facts(self, report: Mapping[str, Any]) -> dict[str, str]:
        counts = ", ".join(f"{name} ({count})" for name, count in report.get("cases_per_class", {}).items())
        if "target" in report:
            counts = "{min:.4g} to {max:.4g}, mean {mean:.4g}, standard deviation {std:.4g}".format(**report["target"])
        said = {"Cases": f"{report['cases']} of {counted(report['patients'], 'patient')}: {counts}"}
        calibration = self.card.get("calibration")
        if calibration:
            said["Calibration"] = f"{calibration_words(calibration)}, on {calibration['cases']} held-out cases"
        return said | model_facts(self.card, weights=report.get("weights"))

    def _draft(self, report: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        folder = Path(str(report.get("weights"))).parent
        counts = folder / "classes.csv"
        rows = read_table(counts).rows if counts.is_file() else []
        try:
            settings = (newest_checkpoint(folder) or {}).get("settings")
        except CrossDError:
            settings = None
        by_class = {row["class"]: {split: row[split] for split in row if split != "class"} for row in rows}
        return checklist(self.card, report, settings, by_class)


def _class_words(predictions: Predictions, row: int) -> str:
    """What is true of a case and what was said."""
    one = predictions.take([row])
    chances = zip(one.class_names, one.probabilities[0].tolist(), strict=True)
    words = ", ".join(f"{name} {chance:.3f}" for name, chance in chances)
    return f"is {one.answers(one.targets)[0]}, said {one.answers(one.decided)[0]} ({words})"


def verdict(report: Mapping[str, Any]) -> str:
    """How good the model is, in a few sentences.

    >>> figure = {"value": 0.9, "low": 0.8, "high": 0.95}
    >>> metrics = {"auc": figure, "accuracy": figure}
    >>> verdict({"cases": 10, "patients": 8, "majority_rate": 0.6, "metrics": metrics, "splits": ["test"]})[:83]
    'AUROC 0.90 (95 % 0.80 to 0.95) on 10 test cases of 8 patients. 90 % of the answers '
    """
    auc, accuracy = Figure.of(report), Figure.of(report, "accuracy")
    where = f"{report['cases']} {'/'.join(report.get('splits', []))} cases".replace("  ", " ")
    where = f"on {where} of {counted(report['patients'], 'patient')}"
    start = f"AUROC {auc} {where}." if auc.value == auc.value else f"No AUROC {where}: they are of one class."
    low, high = ("" if end is None else f"{100 * end:.0f}" for end in (accuracy.low, accuracy.high))
    interval = f" (95 % {low} to {high} %)" if low else ""
    right = (
        f"{100 * accuracy.value:.0f} % of the answers are right{interval}; always giving the commonest one would be "
        f"right in {100 * report['majority_rate']:.0f} %."
    )
    if auc.low is None or auc.high is None:
        sure = "There are too few patients for an interval."
    elif auc.low <= 0.5:
        sure = "That is not told from chance."
    else:
        sure = f"The interval is {auc.high - auc.low:.2f} wide" + (": not sure." if auc.high - auc.low > WIDE else ".")
    return f"{start} {right} {sure}"


def extremes(predictions: Predictions, count: int = SHOWN) -> tuple[list[int], list[int]]:
    """The wrong answers that the truth surprises most, and the right ones that it surprises least.

    >>> import torch
    >>> chances = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    >>> targets = torch.tensor([[1, 0], [0, 1], [1, 0], [0, 1]])
    >>> extremes(Predictions.of(chances, targets, ["a", "b"], "multiclass"))
    ([2, 1], [0, 3])
    """
    surprise = _surprise(predictions)
    hit = (predictions.decided == predictions.targets.long()).all(1)
    order = surprise.argsort(stable=True).tolist()
    wrong = [row for row in reversed(order) if not hit[row]]
    return wrong[:count], [row for row in order if hit[row]][:count]


def _surprise(predictions: Predictions) -> Tensor:
    """Negative log-likelihood of each case."""
    chances, targets = predictions.probabilities.double().clamp(1e-7, 1 - 1e-7), predictions.targets
    logs = targets * chances.log()
    if predictions.task == "multilabel":
        logs = logs + (1 - targets) * (1 - chances).log()
    return -logs.sum(1)


def _figures(report: Mapping[str, Any]) -> str:
    """The figures of all classes together, and of several each."""
    metrics = report["metrics"]
    rows = [(title, *_cells(metrics[name], name)) for name, title in TITLES.items() if name in metrics]
    rows += [(TITLES[name], figure_text(name, report[name]), "") for name in BESIDE if name in report]
    prevalence = f"a prevalence of {report.get('prevalence')}"
    named = [(title.replace("that prevalence", prevalence), *cells) for title, *cells in rows]
    said = table(["figure", "value", "95 % interval"], named, first=True)
    own = [name for name in TITLES if f"{name}_{report['classes'][-1]}" in metrics]
    if report.get("positive_class") is None and own:
        each = [[of, *(_cell(metrics.get(f"{name}_{of}")) for name in own)] for of in report["classes"]]
        said += table(["class", *(TITLES[name] for name in own)], each)
    return said


def _cell(entry: Mapping[str, Any] | None, name: str = "") -> str:
    value, interval = _cells(entry, name) if entry else ("", "")
    return f"{value} ({interval})" if interval else value


def _cells(entry: Mapping[str, Any], name: str = "") -> tuple[str, str]:
    value, low, high = ("" if entry[of] is None else figure_text(name, entry[of]) for of in ("value", "low", "high"))
    return value or "not defined", f"{low} to {high}" if low else ""


def _group(entry: Mapping[str, Any]) -> list[str]:
    shown = [_cell(value, name) for name, value in entry.items() if isinstance(value, dict)]
    few = f"few: {', '.join(entry['few'])}; says little" if entry["few"] else ""
    return [entry["group"], str(entry["cases"]), str(entry["patients"]), *shown, few]
