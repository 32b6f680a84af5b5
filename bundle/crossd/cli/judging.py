"""`crossd evaluate RUN`, and `crossd evaluate RUN RUN`: both are evaluated, and compared on the same cases."""

from __future__ import annotations

import argparse
from copy import copy
from pathlib import Path

from crossd.cli.help import say
from crossd.cli.runs import RUNS, run_config
from crossd.errors import CrossDError
from crossd.files import write_whole

SAMPLES = 1000
SCORES = ("val_auc", "val_mae")  # by which the epoch was chosen


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Let the command name runs.

    Args:
        parser: of the command.
    """
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="the same as --output_dir; two are compared on the same cases"
    )
    parser.set_defaults(run=evaluate_runs)


def evaluate_runs(given: argparse.Namespace) -> int:
    """Evaluate one run, or two and what differs; 0.

    The comparison is written to `--evaluation_dir`, by default `comparison` in the second run, with
    `learning_curves.svg` of both.

    Raises:
        CrossDError: for more runs, a run that is named twice, two that segment, and as `crossd.evaluation.comparing`.
    """
    runs: list[str] = getattr(given, "runs", [])
    if runs and hasattr(given, "output_dir"):
        raise CrossDError(f"A run is named once; got {runs[0]} and --output_dir {given.output_dir}. Leave one out.")
    if len(runs) > 2 or (len(runs) == 2 and given.recipe != "classification"):
        raise CrossDError(
            f"One run is evaluated, or two of classification are compared; got {len(runs)} of {given.recipe}. "
            "Name fewer."
        )
    for run in runs:
        once = copy(given)
        once.output_dir = str(Path(run).absolute())
        if len(runs) == 2 and hasattr(once, "evaluation_dir"):
            del once.evaluation_dir
        run_config(RUNS["evaluate"], once)
    if not runs:
        return run_config(RUNS["evaluate"], given)
    if len(runs) == 2:
        from crossd.evaluation.comparing import compare

        folder = Path(getattr(given, "evaluation_dir", Path(runs[1], "comparison")))
        samples = int(getattr(given, "bootstrap_samples", SAMPLES))
        first, second = (Path(run, "evaluation") for run in runs)
        for line in compare(first, second, folder, samples).splitlines():
            say(line)
        _write_curves(folder, *map(Path, runs))
        say(f"written to {folder}")
    return 0


def _write_curves(folder: Path, *runs: Path) -> None:
    """Learning curves of both runs, where both have some."""
    from crossd.report.learning_curves import chance_of, losses, read_epochs, score_title, values
    from crossd.report.line_chart import svg_of

    both = {name: read_epochs(run / "metrics.csv") for name, run in zip(("first", "second"), runs, strict=True)}
    scores = [name for name in SCORES if all(rows and name in rows[0] for rows in both.values())]
    if scores:
        title = f"{score_title(scores[0])} in validation"
        svg = svg_of(losses(both), values(both, scores[0], title, chance_of(scores[0], ())))
        write_whole(folder / "learning_curves.svg", svg)
