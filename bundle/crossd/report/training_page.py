"""The page of a training that grows while it runs: where it is, how it goes, and what to do where it does not."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from crossd.files import write_whole
from crossd.processes import rank
from crossd.report.learning_curves import Epochs, chance_of, losses, read_epochs, remarks, score_title, values
from crossd.report.line_chart import svg_of, svg_uri
from crossd.report.plain_page import bullets, facts, pictures, plain_page, table
from crossd.training.epoch_score import epoch_score
from crossd.training.image_metrics import EpochTable

SHOWN = 10  # epochs, the last ones
REFRESH = (5, 60)  # seconds, least and most, after which a browser reads the page again
NOTES = (
    "The epoch is chosen by these validation scores, so they are too good: `crossd evaluate` measures model.pt on "
    "cases that it has not seen.",
    "Losses of training and validation are not comparable where classes are weighted, labels smoothed or cases "
    "augmented; their directions are.",
    "metrics.csv has every epoch.",
)

logger = logging.getLogger(__name__)


class TrainingPage(EpochTable):
    """`EpochTable` that writes `training.html` too: from the first epoch on, and after each validation.

    While training runs the page is read again by the browser that shows it.

    Args:
        output_dir, evaluator, optimizer, score: of `EpochTable`.
        about: of `EpochTable`; its `classes` are named.
    """

    def __init__(
        self,
        output_dir: str,
        evaluator: Engine,
        optimizer: Optimizer,
        score: str = "val_auc",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(output_dir, evaluator, optimizer, score, about or {})
        self.path = self.folder / "training.html"
        self._begun: tuple[float, int] | None = None  # when, and after which epoch

    def attach(self, engine: Engine) -> None:
        """Register with the trainer of the first process; MONAI calls this."""
        super().attach(engine)
        if rank() == 0:
            engine.add_event_handler(Events.COMPLETED, self._ended)

    def _started(self, engine: Engine) -> None:
        super()._started(engine)
        if self._begun is None:
            before = engine.state.epoch - 1
            self._draw(engine, before)
            self._begun = (time.monotonic(), before)
            logger.info("how it goes: %s", self.path)

    def _write(self, engine: Engine) -> None:
        super()._write(engine)
        if self.evaluator.state.epoch == engine.state.epoch:
            self._draw(engine, engine.state.epoch)

    def _ended(self, engine: Engine) -> None:
        self._draw(engine, engine.state.epoch, done=True)

    def _draw(self, engine: Engine, epoch: int, done: bool = False) -> None:
        """Write the page after an epoch."""
        epochs, classes = engine.state.max_epochs or epoch, self.about.get("classes", ())
        rows = [row for row in read_epochs(self.folder / "metrics.csv") if row["epoch"] <= epoch]
        chance = chance_of(self.score, classes)
        best = max(rows, key=lambda row: epoch_score(row, self.score), default=None)
        begun, before = self._begun or (0.0, epoch)
        each = (time.monotonic() - begun) / (epoch - before) if epoch > before else None
        sections = {
            "To look at": bullets(remarks(rows, self.score, chance)),
            "Curves": self._curves(rows, chance),
            "Now": facts(_times(each, done)),
            "The last epochs": self._table(rows[-SHOWN:]),
            "How to read this": bullets(NOTES),
        }
        said = verdict(epoch, epochs, each, best, self.score, done)
        refresh = None if done else round(min(max(each or 0, REFRESH[0]), REFRESH[1]))
        title = f"Training of {' or '.join(classes)}" if classes else "Training"
        write_whole(self.path, plain_page(title, said, sections, refresh))

    def _curves(self, rows: Epochs, chance: float | None) -> str:
        if not rows:
            return ""
        one, score = {"": rows}, f"{score_title(self.score)} in validation"
        shown = (losses(one), values(one, self.score, score, chance), values(one, "learning_rate", "Learning rate"))
        return pictures((of.title, svg_uri(svg_of(of))) for of in shown)

    def _table(self, rows: Epochs) -> str:
        names = [self.score, "train_loss", "val_loss", "learning_rate"]
        cells = [[f"{row['epoch']:.0f}", *(f"{row[name]:.4g}" for name in names)] for row in reversed(rows)]
        header = ["epoch", score_title(self.score), "training loss", "validation loss", "learning rate"]
        return table(header, cells) if rows else ""


def verdict(
    epoch: int, epochs: int, each: float | None, best: Mapping[str, float] | None, score: str, done: bool = False
) -> str:
    """Where a training is, in a sentence or two.

    Args:
        epoch: that is done.
        each: seconds of an epoch; None: not known yet.
        best: of the epochs so far.

    >>> verdict(3, 50, 2.0, {"epoch": 2.0, "val_auc": 0.913}, "val_auc")
    'Epoch 3 of 50 is done, about 2 minutes are left. The best so far is epoch 2, AUROC 0.913.'
    >>> verdict(0, 50, None, None, "val_auc")
    'Epoch 1 of 50 is being trained.'
    """
    if done:
        said = f"Training has ended after {epoch} of {epochs} epochs."
    elif each is None:
        said = f"Epoch {epoch + 1} of {epochs} is being trained."
    else:
        said = f"Epoch {epoch} of {epochs} is done, about {duration(each * (epochs - epoch))} are left."
    if best is None:
        return said
    kept = "The best, model.pt," if done else "The best so far"
    title, name = ("validation loss", "val_loss") if math.isnan(best[score]) else (score_title(score), score)
    return f"{said} {kept} is epoch {best['epoch']:.0f}, {title} {best[name]:.3f}."


def _times(each: float | None, done: bool) -> dict[str, str]:
    """When the page was written, and until when it should have changed again."""
    now = datetime.now().astimezone()
    said = {"Written": f"{now:%Y-%m-%d %H:%M:%S}"}
    if each is not None:
        said["An epoch takes"] = duration(each)
    if each is not None and not done:
        due = now + timedelta(seconds=max(60, 3 * each))
        then = "then the run has ended, its log says why, and the same command goes on"
        said["Still as it is now"] = f"after {due:%H:%M}: {then}"
    return said


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(8.31), duration(95), duration(9000)
    ('8.3 seconds', '2 minutes', '2.5 hours')
    """
    if seconds < 90:
        return f"{seconds:.2g} seconds"
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{round(seconds / 60)} minutes"
