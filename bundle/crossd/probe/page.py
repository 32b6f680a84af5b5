"""The page of a probe: the verdict first, what it rests on below. Its tables and plots lie beside it as files too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossd.data.delimited import write_table
from crossd.evaluation.figure import Figure
from crossd.evaluation.plots import PLOTS, write_plots
from crossd.evaluation.tables import write_tables
from crossd.files import write_whole
from crossd.probe.choosing import Choice
from crossd.probe.verdict import Finding
from crossd.report.evaluation_page import CONFUSION, CURVES
from crossd.report.plain_page import bullets, facts, pictures, plain_page, png_uri, table

if TYPE_CHECKING:
    from crossd.probe.running import Contest

FIGURES = ("auc", "balanced_accuracy", "accuracy")
WHAT = {
    "probe": "frozen network",
    "trivial": "trivial, the best by cross-validation",
    "histogram": "grey values: their histogram",
    "shape": "size and shape of the foreground",
    "voxels": "6 × 6 × 6 mean voxels",
    "covariates": "covariates: columns of the table",
}
NOTES = (
    "Intervals are 95 %, by bootstrap over patients. Every figure is of cases that neither trained nor chose what says "
    "them; the model in model.pt is fitted on all training cases.",
    "Scores of cross-validation are mean log-likelihoods of a class; the winner's is too good, as it won by it. It is "
    "never the model's figure.",
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
    results = [_row(name, contest) for name, contest in contests.items()]
    results.append(["majority", "always the commonest class", 0.5, None, None, *_chance(report)])
    header = ["features", "what", *(f"{name}{end}" for name in FIGURES for end in ("", "_low", "_high"))]
    write_table(folder / "results.csv", header, results)
    scores = sorted(choice.scores.items(), key=lambda item: -item[1])
    write_table(folder / "choice.csv", ["candidate", "score"], scores)
    said_of = {
        "Cases": f"{report['cases']} measured, of {report['patients']} patients",
        "Classes": ", ".join(f"{name} ({count})" for name, count in report["cases_per_class"].items()),
        **about,
        "Model": f"{choice.candidate.name}, C {choice.strength:g}",
        "Chosen in the fits that were measured": _counted(probe.choices),
        "Ahead of the trivial baseline": f"AUC {finding.ahead}",
    }
    sections = {
        "What was reached": table(["", "AUC", "balanced accuracy", "accuracy"], map(_shown, results), first=True),
        "The data and the model": facts(said_of),
        "The frozen network, case by case": pictures(
            (CURVES.get(name, CONFUSION), png_uri(folder / f"{name}.png")) for name in PLOTS
        ),
        "What cross-validation said of each candidate": table(
            ["candidate", "score"], ([name, f"{score:.3f}"] for name, score in scores), first=True
        ),
        "Notes": bullets(NOTES),
    }
    title = f"Probe of {' or '.join(report['classes'])}"
    write_whole(folder / "report.html", plain_page(title, said, sections))


def _row(name: str, contest: Contest) -> list[Any]:
    cells = [Figure.of(contest.report, of) for of in FIGURES]
    return [name, WHAT.get(name, name), *(value for one in cells for value in (one.value, one.low, one.high))]


def _chance(report: Mapping[str, Any]) -> list[Any]:
    return [report["chance_balanced_accuracy"], None, None, report["majority_rate"], None, None]


def _shown(row: Sequence[Any]) -> list[str]:
    cells = [row[2:5], row[5:8], row[8:11]]
    return [
        row[1],
        *(f"{value:.3f}" + ("" if low is None else f" ({low:.3f} to {high:.3f})") for value, low, high in cells),
    ]


def _counted(choices: Sequence[Choice]) -> str:
    said = Counter(f"{choice.candidate.name}, C {choice.strength:g}" for choice in choices)
    return "; ".join(
        name if len(choices) == 1 else f"{name} ({count} of {len(choices)})" for name, count in said.items()
    )
