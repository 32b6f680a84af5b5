"""What a pre-training run leaves behind: the encoder, checkpoints to resume from, its terms, and restored planes."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from crossd.checkpoints import save_checkpoint
from crossd.processes import process_count, rank
from crossd.ssl.encoders import Encoder
from crossd.ssl.joint import KINDS
from crossd.training.progress import TrainingProgress
from crossd.training.run_files import write_epoch

BATCHES = 8

logger = logging.getLogger(__name__)


def state_with_statistics(encoder: Encoder, batches: Sequence[Tensor]) -> dict[str, Tensor]:
    """The encoder's state dict with running statistics of these batches, each counting the same; the encoder stays.

    Those of the run are of global views, sub-crops, images and volumes in turn, and fit none of them: an encoder that
    is frozen would answer with activations that it never had. (Ours; the published code leaves them.) With several
    processes, all call this with as many batches.

    Args:
        encoder: on the device of the batches.
        batches: `(batch, channel, depth, height, width)`, as fine-tuning will show them; without any, the statistics
            are those of the run.

    >>> from crossd.ssl.encoders import build_encoder
    >>> encoder = build_encoder("crossd", 1, {"depth": 10, "width": 2, "no_max_pool": True})
    >>> state = state_with_statistics(encoder, [torch.rand(2, 1, 8, 8, 8)])
    >>> int(state["bn1.num_batches_tracked"]), int(encoder.net.state_dict()["bn1.num_batches_tracked"])
    (1, 0)
    """
    norms = [module for module in encoder.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    before = {name: value.clone() for name, value in encoder.net.state_dict().items()}
    if not norms or not batches:
        return before
    momenta, mode = [norm.momentum for norm in norms], encoder.training
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
        encoder.train()
        with torch.no_grad():
            for batch in batches:
                encoder(batch)
        return {name: value.clone() for name, value in encoder.net.state_dict().items()}
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        encoder.net.load_state_dict(before)
        encoder.train(mode)


class KeptTargets:
    """The targets of an epoch's last batches, unchanged views, of each kind.

    >>> kept = KeptTargets()
    >>> kept.add(torch.zeros(3, 1, 4, 4, 4), torch.tensor([1, 0, 1]))
    >>> kept.add(torch.zeros(3, 1, 4, 4, 4), torch.tensor([0, 0, 1]))
    >>> [batch.shape[0] for batch in kept.batches()]  # volumes, where there are any
    [3]
    """

    def __init__(self) -> None:
        self.of_kind: dict[int, deque[Tensor]] = {number: deque(maxlen=BATCHES) for number in range(len(KINDS))}

    def clear(self, *_: Any) -> None:
        """Forget those of the last epoch."""
        for kept in self.of_kind.values():
            kept.clear()

    def add(self, targets: Tensor, kinds: Tensor) -> None:
        """Take those of a batch, `(batch, …)`, with an index of `KINDS` for each case."""
        for number, kept in self.of_kind.items():
            cases = (kinds == number).nonzero().flatten().to(targets.device)
            if len(cases):
                kept.append(targets[cases])

    def batches(self) -> list[Tensor]:
        """Those of volumes, or of images where the epoch had no volumes, two or more in each; a single one: none."""
        kept = list(self.of_kind[1] or self.of_kind[0])
        cases = sum(map(len, kept))
        return list(torch.cat(kept).tensor_split(max(1, cases // max(2, len(kept[0]))))) if cases > 1 else []


class PretrainingProgress(TrainingProgress):
    """`TrainingProgress` of a run without validation: `model.pt` is the encoder after the last finished epoch.

    Checkpoints hold the whole network, `model.pt` the state dict of `encoder.net` under its own names, with the card,
    and with running statistics of the epoch's last volumes (images where there were none) as fine-tuning normalises
    them; see `state_with_statistics`.

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
