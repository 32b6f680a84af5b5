"""The page of a probe: the verdict first, what it rests on below. Its tables and plots lie beside it as files too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossd.cards.tasks import task_of
from crossd.data.delimited import write_table
from crossd.evaluation.figure import Figure
from crossd.evaluation.plots import plots_of, write_plots
from crossd.evaluation.tables import write_tables
from crossd.evaluation.values import figure_text
from crossd.files import write_whole
from crossd.probe.choosing import AHEAD, SMALL, Choice
from crossd.probe.verdict import Finding
from crossd.report.evaluation_page import CAPTIONS
from crossd.report.plain_page import bullets, facts, pictures, plain_page, png_uri, table

if TYPE_CHECKING:
    from crossd.probe.running import Contest

FIGURES = {"AUC": "auc", "balanced accuracy": "balanced_accuracy", "accuracy": "accuracy"}
OF_GRADES = {
    "weighted kappa": "quadratic_kappa",
    "mean absolute error": "mae",
    "balanced accuracy": "balanced_accuracy",
}
OF_NUMBER = {"R²": "r2", "mean absolute error": "mae", "Spearman": "spearman"}
WHAT = {
    "probe": "frozen network",
    "trivial": "trivial, the best by cross-validation",
    "histogram": "grey values: their histogram",
    "shape": "size and shape of the foreground",
    "voxels": "6 × 6 × 6 mean voxels",
    "covariates": "covariates: columns of the table",
}
SCORE = {True: "mean log-likelihoods of a class", False: "R²"}  # whether it is of classes
NOTES = (
    "Intervals are 95 %, by bootstrap over patients. Every figure is of cases that neither trained nor chose what says "
    "them; the model in model.pt is fitted on all training cases.",
    "Scores of cross-validation are {}; the winner's is too good, as it won by it. It is never the model's figure. "
    f"Of fewer than {SMALL} cases all views together are taken unless another one is ahead by {AHEAD} standard errors.",
    "Of each case its row is in predictions.csv.",
)


def write_page(
    folder: Path,
    said: str,
    contests: Mapping[str, Contest],
    choice: Choice,
    finding: Finding,
    about: Mapping[str, str],
) -> None:
    """Write `report.html`, and beside it the probe's tables and plots, `results.csv` and `choice.csv`.

    Args:
        folder: is there.
        said: the verdict.
        contests: the probe's first.
        choice: of the model that is written.
        finding: what the verdict rests on.
        about: further facts.
    """
    probe = contests["probe"]
    predictions, report = probe.predictions, probe.report
    write_tables(folder, {"verdict": said, **about, **report}, predictions)
    write_plots(folder, predictions)
    task = task_of(predictions.task)
    classifies = task.classifies
    figures, nothing = (FIGURES, _chance) if classifies else (OF_NUMBER, _mean)
    figures, nothing = (OF_GRADES, _median) if task.ordered else (figures, nothing)
    what = {**WHAT, "probe": f"{WHAT['probe']}, with columns where chosen"} if "covariates" in contests else WHAT
    results = [_row(name, what.get(name, name), contest, [*figures.values()]) for name, contest in contests.items()]
    results.append(nothing(report))
    header = ["features", "what", *(f"{name}{end}" for name in figures.values() for end in ("", "_low", "_high"))]
    write_table(folder / "results.csv", header, results)
    scores = sorted(choice.scores.items(), key=lambda item: -item[1])
    write_table(folder / "choice.csv", ["candidate", "score"], scores)
    said_of = {
        "Cases": f"{report['cases']} measured, of {report['patients']} patients",
        **_predicted(report, classifies),
        **about,
        "Model": f"{choice.candidate.name}, C {choice.strength:g}",
        "Chosen in the fits that were measured": _counted(probe.choices),
        "Ahead of the trivial baseline": f"{finding.called} {finding.ahead}",
    }
    sections = {
        "What was reached": table(["", *figures], (_shown(row, figures) for row in results), first=True),
        "The data and the model": facts(said_of),
        "The frozen network, case by case": pictures(
            (CAPTIONS[name], png_uri(folder / f"{name}.png")) for name in plots_of(predictions.task)
        ),
        "What cross-validation said of each candidate": table(
            ["candidate", "score"], ([name, f"{score:.3f}"] for name, score in scores), first=True
        ),
        "Notes": bullets(note.format(SCORE[classifies]) for note in NOTES),
    }
    title = f"Probe of {' or '.join(report['classes'])}"
    write_whole(folder / "report.html", plain_page(title, said, sections))


def _row(name: str, what: str, contest: Contest, figures: Sequence[str]) -> list[Any]:
    cells = [Figure.of(contest.report, of) for of in figures]
    return [name, what, *(value for one in cells for value in (one.value, one.low, one.high))]


def _chance(report: Mapping[str, Any]) -> list[Any]:
    rates = (0.5, report["chance_balanced_accuracy"], report["majority_rate"])
    return ["majority", "always the commonest class", *(cell for rate in rates for cell in (rate, None, None))]


def _mean(report: Mapping[str, Any]) -> list[Any]:
    return ["mean", "always the mean", 0.0, None, None, report["mae_of_mean"], *[None] * 5]


def _median(report: Mapping[str, Any]) -> list[Any]:
    rates = (0.0, report["mae_of_median"], report["chance_balanced_accuracy"])
    return ["median", "always the median grade", *(cell for rate in rates for cell in (rate, None, None))]


def _predicted(report: Mapping[str, Any], classifies: bool) -> dict[str, str]:
    if classifies:
        return {"Classes": ", ".join(f"{name} ({count})" for name, count in report["cases_per_class"].items())}
    target = report["target"]
    spread = f"{target['min']:.4g} to {target['max']:.4g}, mean {target['mean']:.4g}"
    return {"Number": f"{report['classes'][0]}: {spread}, standard deviation {target['std']:.4g}"}


def _shown(row: Sequence[Any], figures: Mapping[str, str]) -> list[str]:
    cells = zip(figures.values(), (row[2:5], row[5:8], row[8:11]), strict=True)
    return [row[1], *(_cell(name, *values) for name, values in cells)]


def _cell(name: str, value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "–"
    return figure_text(name, value) + (
        "" if low is None or high is None else f" ({figure_text(name, low)} to {figure_text(name, high)})"
    )


def _counted(choices: Sequence[Choice]) -> str:
    said = Counter(f"{choice.candidate.name}, C {choice.strength:g}" for choice in choices)
    return "; ".join(
        name if len(choices) == 1 else f"{name} ({count} of {len(choices)})" for name, count in said.items()
    )
