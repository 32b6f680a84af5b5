"""How a training goes: its curves as a picture, and what a person should be told about them while it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from crossd.data.delimited import read_table
from crossd.evaluation.tables import TITLES
from crossd.report.line_chart import COLOURS, GREY, Axes, Line
from crossd.training.epoch_score import epoch_score, is_error

Epochs = Sequence[Mapping[str, float]]
SOON = 5  # validations, from which on a curve says something
LIKE_CHANCE = 0.05  # above chance is not yet ahead of it
FLAT = 0.99  # of the first loss, below which it has fallen
SOLVED = 0.95  # a score from which on the loss may stay where it is
RISEN = 1.1  # times its least, from which on a validation loss has risen


def read_epochs(path: Path) -> list[dict[str, float]]:
    """The rows of the `metrics.csv` of a training, a validated epoch each; none where it is not there yet.

    Where validation has no loss it is not a number.
    """
    rows = read_table(path).rows if path.is_file() else ()
    return [
        {"val_loss": math.nan} | {name: float(text) if text else math.nan for name, text in row.items()} for row in rows
    ]


def score_title(score: str) -> str:
    """What a score is called on pages.

    >>> score_title("val_auc"), score_title("val_dice")
    ('AUROC', 'Dice')
    """
    name = score.removeprefix("val_")
    return TITLES.get(name, name.replace("_", " ").capitalize())


def losses(runs: Mapping[str, Epochs]) -> Axes:
    """Losses by epoch: of training full, of validation broken.

    Args:
        runs: epochs of a run, by what it is called; a single one may have an empty name.
    """
    alone = len(runs) == 1
    lines = []
    for run in runs:
        lines.append(_line(runs, run, "train_loss", "training" if alone else run))
        lines.append(_line(runs, run, "val_loss", "validation" if alone else "", "6 4"))
    return Axes("Loss" if alone else "Loss (broken: validation)", lines)


def values(runs: Mapping[str, Epochs], column: str, title: str, chance: float | None = None) -> Axes:
    """A column by epoch, over the dotted score of a guess where there is such a figure."""
    lines = [_line(runs, run, column, run) for run in runs]
    if chance is not None:
        ends = [at(row["epoch"] for rows in runs.values() for row in rows) for at in (min, max)]
        lines.append(Line(ends, [chance, chance], "chance", GREY, "2 4"))
    return Axes(title, lines)


def _line(runs: Mapping[str, Epochs], run: str, column: str, name: str, dash: str = "") -> Line:
    rows, colour = runs[run], COLOURS[[*runs].index(run) % len(COLOURS)]
    return Line([row["epoch"] for row in rows], [row[column] for row in rows], name, colour, dash)


def chance_of(score: str, classes: Sequence[str]) -> float | None:
    """The score of a guess, None where there is no such figure.

    >>> chance_of("val_auc", "ab"), chance_of("val_balanced_accuracy", "abcd"), chance_of("val_dice", "ab")
    (0.5, 0.25, None)
    """
    return {"val_auc": 0.5, "val_balanced_accuracy": 1 / max(1, len(classes))}.get(score)


def remarks(rows: Epochs, score: str, chance: float | None = None) -> list[str]:
    """What is to be said of the epochs so far, and what to do next; nothing where all is well.

    Args:
        rows: validated epochs, in order.
        score: the column that the best epoch has most of.
        chance: the score of a guess.

    >>> remarks([{"epoch": 1, "train_loss": 0.7, "val_loss": 0.7, "val_auc": 0.8}], "val_auc", 0.5)
    []
    """
    said = (_loss(rows, score), _chance(rows, score, chance), _by_heart(rows, score)) if rows else ()
    return [line for line in said if line]


def _loss(rows: Epochs, score: str) -> str:
    losses = [row["train_loss"] for row in rows]
    if not math.isfinite(losses[-1]):
        return (
            f"The training loss of epoch {rows[-1]['epoch']:.0f} is not a number: nothing is learned from here on. "
            "Start again with a tenth of the --learning_rate, and without --amp."
        )
    solved = not is_error(score) and max(_known(rows, score), default=0.0) >= SOLVED
    if len(rows) < SOON or solved or min(losses[-3:]) < FLAT * losses[0]:
        return ""
    return (
        f"The training loss does not fall: {losses[0]:.3f} in epoch {rows[0]['epoch']:.0f}, {losses[-1]:.3f} in epoch "
        f"{rows[-1]['epoch']:.0f}. Start again with another --learning_rate in another --output_dir: a tenth where the "
        "curve jumps, three times as much where it is flat; where both fail, look at the pictures of `crossd plan`."
    )


def _chance(rows: Epochs, score: str, chance: float | None) -> str:
    best, title = max(_known(rows, score), default=math.inf), score_title(score)
    if chance is None or best > chance + LIKE_CHANCE:
        return ""
    if len(rows) < SOON:
        return (
            f"The validation is at chance so far ({title} {best:.2f} at best). That is usual in the first "
            f"epochs, while the learning rate rises. Wait for {SOON} validations."
        )
    return (
        f"After {len(rows)} validations the best {title} is {best:.2f}, which is chance. `crossd probe` says in "
        "minutes whether there is a signal, and with few cases its model.pt is often the better one. `crossd plan` "
        "shows what the network sees: is the finding still there at that spacing and window?"
    )


def _known(rows: Epochs, score: str) -> list[float]:
    """The scores that are defined."""
    return [row[score] for row in rows if math.isfinite(row[score])]


def _by_heart(rows: Epochs, score: str) -> str:
    best = max(range(len(rows)), key=lambda number: epoch_score(rows[number], score))
    validation, training = ([row[name] for row in rows] for name in ("val_loss", "train_loss"))
    risen = validation[-1] >= RISEN * min(validation)
    if len(rows) - best <= SOON or not risen or training[-1] >= training[best]:
        return ""
    return (
        f"No epoch since {rows[best]['epoch']:.0f} was better, and the validation loss rises while that of training "
        "falls: the network learns its cases by heart. model.pt keeps the best epoch. Next time pass --patience, or "
        "train less of the network than now: --trainable norms, or head."
    )
