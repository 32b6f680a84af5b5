"""The page of a probe: the verdict first, what it rests on below. Its tables and plots lie beside it as files too."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from crossd.data.delimited import write_table
from crossd.evaluation.evaluating import write_tables
from crossd.evaluation.plots import plot_calibration, plot_confusion, plot_roc
from crossd.files import write_whole
from crossd.probe.choosing import Choice
from crossd.probe.verdict import Finding, figure
from crossd.texts import escaped
from crossd.version import __version__

if TYPE_CHECKING:
    from crossd.probe.running import Contest

PLOTS = {"roc": plot_roc, "confusion": plot_confusion, "calibration": plot_calibration}
FIGURES = ("auc", "balanced_accuracy", "accuracy")
WHAT = {
    "probe": "frozen network",
    "trivial": "trivial, the best by cross-validation",
    "histogram": "grey values: their histogram",
    "shape": "size and shape of the foreground",
    "voxels": "6 × 6 × 6 mean voxels",
    "covariates": "covariates: columns of the table",
}
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="crossd $version">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Probe: $title</title>
<style>
$css
</style>
</head>
<body>
<header><p class="kind">Probe of $title</p>
<h1>$verdict</h1>
<p class="use">For research; not a medical device.</p></header>
<main>
<section><h2>What was reached</h2>$results</section>
<section><h2>The data and the model</h2><dl class="facts">$facts</dl></section>
<section><h2>The frozen network, case by case</h2><div class="plots">$plots</div></section>
<section><h2>What cross-validation said of each candidate</h2>$choice</section>
<footer><ul>$notes</ul></footer>
</main>
</body>
</html>
""")
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
    for name, plot in PLOTS.items():
        plot(folder / f"{name}.png", predictions)
    results = [_row(name, contest) for name, contest in contests.items()]
    results.append(["majority", "always the commonest class", 0.5, None, None, *_chance(report)])
    header = ["features", "what", *(f"{name}{end}" for name in FIGURES for end in ("", "_low", "_high"))]
    write_table(folder / "results.csv", header, results)
    scores = sorted(choice.scores.items(), key=lambda item: -item[1])
    write_table(folder / "choice.csv", ["candidate", "score"], scores)
    facts = {
        "Cases": f"{report['cases']} measured, of {report['patients']} patients",
        "Classes": ", ".join(f"{name} ({count})" for name, count in report["cases_per_class"].items()),
        **about,
        "Model": f"{choice.candidate.name}, C {choice.strength:g}",
        "Chosen in the fits that were measured": _counted(probe.choices),
        "Ahead of the trivial baseline": f"AUC {finding.ahead}",
    }
    values = {
        "version": __version__,
        "title": escaped(" or ".join(report["classes"])),
        "css": (files("crossd.report") / "page.css").read_text() + (files("crossd.probe") / "page.css").read_text(),
        "verdict": escaped(said),
        "results": _table(["", "AUC", "balanced accuracy", "accuracy"], map(_shown, results)),
        "facts": "".join(
            f"<div><dt>{escaped(term)}</dt><dd>{escaped(text)}</dd></div>" for term, text in facts.items()
        ),
        "plots": "".join(_plot(folder / f"{name}.png", name) for name in PLOTS),
        "choice": _table(["candidate", "score"], ([name, f"{score:.3f}"] for name, score in scores)),
        "notes": "".join(f"<li>{escaped(note)}</li>" for note in NOTES),
    }
    write_whole(folder / "report.html", _PAGE.substitute(values))


def _row(name: str, contest: Contest) -> list[Any]:
    cells = [figure(contest.report, of) for of in FIGURES]
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


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in header)
    body = "".join(
        f"<tr{' class=first' if number == 0 else ''}>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>"
        for number, row in enumerate(rows)
    )
    table = f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="wide-table">{table}</div>'


def _plot(path: Path, name: str) -> str:
    return f'<img alt="{name}" src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}">'
