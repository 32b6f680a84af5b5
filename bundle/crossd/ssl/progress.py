"""What a pre-training run leaves behind: the encoder, checkpoints to resume from, its terms, and restored planes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import Tensor
from torch.optim import Optimizer

from crossd.checkpoints import save_checkpoint
from crossd.processes import process_count, rank
from crossd.ssl.encoders import Encoder
from crossd.ssl.joint import KINDS
from crossd.ssl.statistics import KeptTargets, state_with_statistics
from crossd.training.progress import TrainingProgress
from crossd.training.run_files import write_epoch

logger = logging.getLogger(__name__)


class PretrainingProgress(TrainingProgress):
    """`TrainingProgress` of a run without validation: `model.pt` is the encoder after the last finished epoch.

    Checkpoints hold the whole network, `model.pt` the state dict of `encoder.net` under its own names, with the card,
    and with running statistics of the epoch's last volumes (images where there were none) as fine-tuning normalises
    them; see `crossd.ssl.statistics`.

    Args:
        encoder: whose network `model.pt` holds; a part of the trainer's.
        cases: that are trained on, by name.
        progress: further arguments of `TrainingProgress`.
    """

    def __init__(self, encoder: Encoder, cases: Sequence[Mapping[str, Any]], **progress: Any) -> None:
        never_run = Engine(lambda *_: None)
        super().__init__(evaluator=never_run, cases=[{"case": case["case"]} for case in cases], **progress)
        self.encoder = encoder
        self.kept = KeptTargets()

    def attach(self, engine: Any) -> None:
        """Register with the trainer; MONAI calls this. Last."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.kept.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        super().attach(engine)

    def _keep(self, engine: Any) -> None:
        self.kept.add(engine.state.output["target"], engine.state.output["kind"])

    def epoch_completed(self, engine: Any) -> None:
        """Save the encoder, then what is needed to go on."""
        seen = self.card["input"]
        batches = [(batch - seen["mean"]) / seen["std"] for batch in self.kept.batches()]
        state = state_with_statistics(self.encoder, batches)
        if rank() == 0:
            terms = {name: float(value) for name, value in engine.state.metrics.items()}
            metrics = {"epoch": engine.state.epoch, **terms}
            save_checkpoint(self.folder / "model.pt", state, {**self.card, "metrics": metrics})
        super().epoch_completed(engine)

    def completed(self, engine: Any) -> None:
        """Say where the encoder is."""
        logger.info("pre-trained for %d epochs: %s", engine.state.epoch, self.folder / "model.pt")


class TermTable:
    """Handler that writes `metrics.csv`: for each epoch the mean of the loss and its terms, over all processes.

    They are the engine's `state.metrics` too, which `PretrainingProgress` puts into the card.
    """

    def __init__(self, output_dir: str, optimizer: Optimizer) -> None:
        self.path = Path(output_dir) / "metrics.csv"
        self.optimizer = optimizer
        self._sums: dict[str, Tensor] = {}
        self._rate = 0.0

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; MONAI calls this. Before `PretrainingProgress`."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _started(self, _: Engine) -> None:
        self._sums.clear()
        self._rate = self.optimizer.param_groups[0]["lr"]

    def _collect(self, engine: Any) -> None:
        for name, value in engine.state.output.items():
            if value.dim() == 0:
                self._sums[name] = self._sums.get(name, torch.zeros(())) + value.detach().double().cpu()

    def _write(self, engine: Any) -> None:
        sums = torch.stack([*self._sums.values()])
        if process_count() > 1:
            sums = sums.to(engine.state.device)
            dist.all_reduce(sums)
        means = (sums / (engine.state.epoch_length * process_count())).tolist()
        terms = dict(zip(self._sums, means, strict=True))
        engine.state.metrics.update(terms)
        if rank() == 0:
            write_epoch(self.path, {"epoch": engine.state.epoch, "learning_rate": self._rate, **terms})


class RestoredPlanes:
    """Handler that shows after each epoch how a case of each kind is restored: middle plane and target, side by side.

    Of the newest batch with that kind; to TensorBoard, as `restored/images` and `restored/volumes`.
    """

    def __init__(self, log_dir: str) -> None:
        self.log_dir = log_dir
        self._newest: dict[str, Tensor] = {}
        self._writer: Any = None

    def attach(self, engine: Engine) -> None:
        """Register with the trainer of the first process; MONAI calls this."""
        if rank() != 0:
            return
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._show)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _keep(self, engine: Any) -> None:
        output = engine.state.output
        for number, kind in enumerate(KINDS):
            cases = (output["kind"] == number).nonzero()
            if len(cases):
                self._newest[kind] = planes(output["restored"][cases[0]], output["target"][cases[0]])

    def _show(self, engine: Any) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = self._writer or SummaryWriter(self.log_dir)
        for kind, picture in self._newest.items():
            self._writer.add_image(f"restored/{kind}", picture, engine.state.epoch, dataformats="HW")
        self._writer.flush()

    def _close(self, _: Engine) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def planes(restored: Tensor, target: Tensor) -> Tensor:
    """The middle planes of a restored case and of its target beside each other, white between them.

    The first channel of both, `(1, channel, depth, height, width)` in [0, 1], as `(height, 2 · width + 1)`.

    >>> planes(torch.zeros(1, 1, 4, 6, 5), torch.ones(1, 1, 4, 6, 5)).shape
    torch.Size([6, 11])
    """
    left, right = (image[0, 0, image.shape[2] // 2].float().cpu().clamp(0, 1) for image in (restored, target))
    return torch.cat([left, torch.ones(left.shape[0], 1), right], 1)
