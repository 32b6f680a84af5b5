"""What a run says while it trains: lines in the log, and curves in TensorBoard's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ignite.engine import Engine
from monai.handlers import StatsHandler, TensorBoardStatsHandler
from torch import Tensor

from crossd.errors import rule_broken
from crossd.processes import rank


class Stats(StatsHandler):
    """MONAI's `StatsHandler`, which leaves broken rules to the end of the program: one message, without traceback."""

    def exception_raised(self, engine: Engine, e: Exception) -> None:
        """What a step has raised."""
        if rule_broken(e) is None:
            super().exception_raised(engine, e)
        raise e


class Curves:
    """Handler of a trainer that logs its loss and its validation's metrics, and writes them to TensorBoard's files.

    Of several processes the first does. MONAI's `StatsHandler` and `TensorBoardStatsHandler` do the work.

    Args:
        output_dir: of the run; files go to `tensorboard` in it.
        evaluators: one or several engines that validate; None where there is none.
        log_loss: whether each step's loss is logged, which a progress bar would break.
        values: what of the trainer's output is drawn for each step; the loss by default.
    """

    def __init__(
        self,
        output_dir: str,
        evaluators: Engine | list[Engine] | None = None,
        tensorboard: bool = True,
        log_loss: bool = True,
        values: Callable[[Any], Any] | None = None,
    ) -> None:
        self.log_dir = f"{output_dir}/tensorboard"
        self.evaluators = evaluators if isinstance(evaluators, list) else [evaluators] if evaluators else []
        self.tensorboard = tensorboard
        self.log_loss = log_loss
        self.values = values

    def attach(self, engine: Engine) -> None:
        if rank() != 0:
            return
        if self.log_loss:
            Stats(tag_name="train_loss", output_transform=loss_of).attach(engine)
        for evaluator in self.evaluators:
            Stats(iteration_log=False).attach(evaluator)
        if self.tensorboard:
            drawn = self.values or loss_of
            TensorBoardStatsHandler(log_dir=self.log_dir, tag_name="train_loss", output_transform=drawn).attach(engine)
            for evaluator in self.evaluators:
                TensorBoardStatsHandler(log_dir=self.log_dir, iteration_log=False).attach(evaluator)


def loss_of(output: Mapping[str, Any] | list[Mapping[str, Any]]) -> float:
    """The loss of a step, whose output is a list where MONAI has taken the batch apart.

    >>> loss_of({"loss": 0.5}), loss_of([{"loss": 0.5}, {"loss": 0.5}])
    (0.5, 0.5)
    """
    loss = (output[0] if isinstance(output, list) else output)["loss"]
    return float(loss.detach() if isinstance(loss, Tensor) else loss)
