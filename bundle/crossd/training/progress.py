"""The handler that keeps what a run has reached: the best model, a checkpoint per epoch, and when to stop."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from monai.engines import SupervisedTrainer
from torch import nn
from torch.optim import Optimizer

from crossd.callers import in_federated_round
from crossd.checkpoints import save_checkpoint
from crossd.checkpoints.checkpoint_files import unwrap
from crossd.data.class_counts import FEW, class_counts
from crossd.errors import CrossDError, rule_broken
from crossd.options import refuse_changes, with_more_epochs
from crossd.processes import process_count, rank, wait_for_all
from crossd.training import run_files
from crossd.training.epoch_score import epoch_score, is_error, score_of

logger = logging.getLogger(__name__)


class TrainingProgress:
    """Saves the best model and, after every epoch, all that is needed to go on; resumes a run that was ended.

    After each epoch, in this order: `model.pt` is written, with its card, when the epoch's validation score is the best
    so far; `checkpoint_NNNN.pt` is written; older checkpoints are removed. Every file appears whole or not at all
    (`save_checkpoint`). A run killed at any moment therefore goes on from the last finished epoch, and ends as it would
    have (randomness: see `SeedEpochs`). Of several processes, the first writes and all resume. A finished run goes on
    where more `epochs` are given, at the learning rates that a run of so many would have had in those that come.

    The score is that of `epoch_score`: a validation metric, by default that of `score_of`, and among epochs of equal
    AUC minus the validation loss. Where the AUC is not defined (one class in validation) it is minus the loss alone, in
    every epoch.

    Attach it last, after MONAI's `LrScheduleHandler` and `ValidationHandler`.

    Args:
        evaluator: the validation engine; its metrics hold `score` and `val_loss`.
        optimizer, scheduler: of the run; the scheduler may be None.
        card: of the model, for `model.pt`.
        cases: of all splits; written to `datalist.csv`, unless they come from a client and have no split.
        settings: JSON-able; a run is only resumed under equal ones, the same card and cases and as many processes.
        resume: continue from the newest checkpoint in `output_dir`; False starts again and removes them.
        patience: validations without a better score after which training stops; None never stops early.
        score: the metric that the best epoch has most of, or of an error least; None: that of the card's task.
        averaged: what `model.pt` holds instead of the network: a moving average of it (`WeightAverage.model`), or the
            part of it that is wanted in the end (`HybridNetwork.volumes`).

    Raises:
        CrossDError: without a folder, for a bundle's `models`, and at the start for other or unreadable checkpoints.
    """

    def __init__(
        self,
        output_dir: str | None,
        evaluator: Engine,
        optimizer: Optimizer,
        scheduler: Any,
        card: Mapping[str, Any],
        cases: Sequence[Mapping[str, Any]],
        settings: Mapping[str, Any],
        resume: bool = True,
        patience: int | None = None,
        keep: int = 2,
        score: str | None = None,
        averaged: nn.Module | None = None,
    ) -> None:
        self.folder = run_files.run_folder(output_dir)
        if patience is not None and patience < 1:
            raise CrossDError(f"patience must be a number of validations, 1 or more, or null, got {patience}.")
        resolved = self.folder.resolve()
        if resolved.name == "models" and (resolved.parent / "configs" / "metadata.json").is_file():
            raise CrossDError(
                f"A bundle's models/ holds released weights and is never written by training, got {self.folder}. "
                "Pass another --output_dir."
            )
        self.evaluator = evaluator
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.card = dict(card)
        self.cases = cases
        self.settings = {**settings, "card": self.card, "processes": process_count(), "cases": run_files.digest(cases)}
        self.resume = resume
        self.patience = patience
        self.keep = keep
        self.score = score or score_of(self.card.get("task"))
        self.averaged = averaged
        self.best_score: float | None = None
        self.best_epoch = 0
        self.best_metrics: dict[str, float] = {}
        self.stopper: EarlyStopping | None = None

    def attach(self, engine: SupervisedTrainer) -> None:
        engine.logger.addFilter(is_news)
        if self.patience is not None:
            self.stopper = EarlyStopping(self.patience, lambda _: self._score(), engine)
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def start(self, engine: SupervisedTrainer) -> None:
        """Take over the newest checkpoint, if there is one; a trainer that has trained already just goes on."""
        if engine.state.epoch:
            return
        if (not self.resume or in_federated_round()) and rank() == 0:
            run_files.remove_checkpoints(self.folder)
        wait_for_all()
        stored = run_files.newest_checkpoint(self.folder)
        if stored is not None:
            known = with_more_epochs(stored["settings"], self.settings, stored["epoch"])
            refuse_changes(known, self.settings, self.folder)
            self._restore(engine, stored)
            if known != stored["settings"] and self.scheduler is not None:
                self.scheduler.last_epoch -= 1  # the rate of the next epoch is that of the longer schedule
                self.scheduler.step()
        if rank() == 0 and all("split" in case for case in self.cases):  # what a client brings is not ours to list
            run_files.write_datalist(self.folder / "datalist.csv", self.cases, self.card["class_names"])
        if self.stopper is not None and self.patience is not None and self.stopper.counter >= self.patience:
            engine.terminate()

    def _restore(self, engine: SupervisedTrainer, stored: Mapping[str, Any]) -> None:
        unwrap(engine.network).load_state_dict(stored["model"])
        if self.averaged is not None and stored.get("averaged") is not None:
            self.averaged.load_state_dict(stored["averaged"])
        self.optimizer.load_state_dict(stored["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(stored["scheduler"])
        if engine.scaler is not None:
            engine.scaler.load_state_dict(stored["scaler"])
        if self.stopper is not None:
            self.stopper.load_state_dict(stored["stopper"])
        engine.state.epoch = stored["epoch"]
        engine.state.iteration = stored["epoch"] * engine.state.epoch_length
        self.best_score, self.best_epoch = stored["best_score"], stored["best_epoch"]
        self.best_metrics = stored["best_metrics"]
        logger.info("resumed after epoch %d of %d in %s", stored["epoch"], engine.state.max_epochs, self.folder)

    def epoch_completed(self, engine: SupervisedTrainer) -> None:
        """Look at the validation, if this epoch had one, and save."""
        if self.evaluator.state.epoch == engine.state.epoch:  # ValidationHandler gives its runs the trainer's epoch
            self._validated(engine)
        if rank() != 0:
            return
        save_checkpoint(
            run_files.checkpoint_path(self.folder, engine.state.epoch),
            engine.network,
            self.card,
            epoch=engine.state.epoch,
            optimizer=self.optimizer.state_dict(),
            scheduler=None if self.scheduler is None else self.scheduler.state_dict(),
            scaler=None if engine.scaler is None else engine.scaler.state_dict(),
            stopper=None if self.stopper is None else dict(self.stopper.state_dict()),
            best_score=self.best_score,
            best_epoch=self.best_epoch,
            best_metrics=self.best_metrics,
            settings=self.settings,
            averaged=None if self.averaged is None else self.averaged.state_dict(),
        )
        run_files.remove_checkpoints(self.folder, self.keep)

    def _validated(self, engine: SupervisedTrainer) -> None:
        score = self._score()
        if self.best_score is None or score > self.best_score:
            self.best_score, self.best_epoch = score, engine.state.epoch
            values = {name: float(value) for name, value in self.evaluator.state.metrics.items()}
            self.best_metrics = {name: value for name, value in values.items() if math.isfinite(value)}
            metrics = {**self.best_metrics, "epoch": engine.state.epoch}
            if rank() == 0:
                model = engine.network if self.averaged is None else self.averaged
                save_checkpoint(self.folder / "model.pt", model, {**self.card, "metrics": metrics})
        if self.stopper is not None:
            self.stopper(engine)

    def _score(self) -> float:
        metrics = self.evaluator.state.metrics
        if self.best_score is None and math.isnan(float(metrics[self.score])):
            logger.warning(
                "the validation AUC is not defined, for all validation cases are of one class: the best epoch is the "
                "one with the lowest validation loss"
            )
        return epoch_score(metrics, self.score)

    def completed(self, engine: SupervisedTrainer) -> None:
        """Say where the best model is, and where its score is no wonder: the last line of the log."""
        listed = ", ".join(f"{name} {value:.4f}" for name, value in self.best_metrics.items())
        epochs, path = f"{self.best_epoch} of {engine.state.epoch}", self.folder / "model.pt"
        logger.info("best epoch %s (%s): %s%s", epochs, listed, path, self._remark())

    def _remark(self) -> str:
        """What is to be said of a perfect score: on how few cases it rests."""
        cases = getattr(getattr(getattr(self.evaluator, "data_loader", None), "dataset", None), "data", ())
        if (
            is_error(self.score)
            or self.best_metrics.get(self.score, 0) < 1
            or not all("label" in case for case in cases)
        ):
            return ""
        counts = class_counts(self.card["class_names"], {"val": [case["label"] for case in cases]})
        few = [f"{name!r} ({count['val']})" for name, count in counts.items() if count["val"] < FEW]
        on = f"; {self.score} 1.0 is of fewer than {FEW} validation cases of {', '.join(few)}: do not rely on it"
        return on if few else ""


def is_news(record: logging.LogRecord) -> bool:
    """Whether ignite's log says something that is not said in our last line, or at the end of the program."""
    broken = record.levelno >= logging.ERROR and rule_broken(sys.exc_info()[1]) is not None
    return not broken and not record.getMessage().startswith("Engine run finished")


def check_resume(
    output_dir: str | None,
    settings: Mapping[str, Any],
    resume: bool = True,
    card: Mapping[str, Any] | None = None,
    cases: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Refuse to go on with a run that was started under other settings, before any case is read.

    `TrainingProgress` compares all; here it is what is known without reading.

    Args:
        output_dir, settings, resume, card: as for `TrainingProgress`; None: the card is not known yet.
        cases: that are listed; none: they are not known, or some of them may be left out.

    Raises:
        CrossDError: naming each setting that differs.
    """
    folder = run_files.run_folder(output_dir)
    stored = run_files.newest_checkpoint(folder) if resume and not in_federated_round() else None
    if stored is not None:
        given = {**settings, "processes": process_count()}
        given |= {"card": dict(card)} if card else {}
        given |= {"cases": run_files.digest(cases)} if cases else {}
        known = with_more_epochs(stored["settings"], given, stored["epoch"])
        both = [name for name in given if name in known]
        refuse_changes({name: known[name] for name in both}, {name: given[name] for name in both}, folder)
