"""One run: train on some labels, keep the check that validates best, predict the test cases once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

import torch
from crossd.errors import CrossDError
from crossd.evaluation import NegativeLogLikelihood, PresentClassAUC
from crossd.precision import mixed_precision
from crossd.training import classification_loss, set_trainable
from monai.engines import default_prepare_batch
from monai.handlers import IgniteMetricHandler
from monai.inferers import SimpleInferer
from monai.utils import CommonKeys
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, Dataset

from scripts.benchmarks.runs.checks import steps_of_checks, train_in_checks
from scripts.benchmarks.runs.grid import PAPER
from scripts.benchmarks.transfer.draws import Draws
from scripts.benchmarks.transfer.hybrid import ImageSide
from scripts.benchmarks.transfer.recipe import Recipe
from scripts.benchmarks.transfer.tasks import Part

TRAINED = {"probe": "norms", "full": "all", PAPER: "norms"}
CLASS_WEIGHTS = {"probe": "balanced", "full": "balanced", PAPER: None}  # the paper reports plain accuracy
EVALUATED_AT_ONCE = 64  # cases; of no account for the result


class Forward(SimpleInferer):
    """One forward pass, in bfloat16 where that is asked for, which takes a GPU; logits are float32.

    Args:
        bf16: see `Recipe`.
    """

    def __init__(self, bf16: bool = False) -> None:
        super().__init__()
        self.bf16 = bf16

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        bf16 = mixed_precision(self.bf16, inputs.device)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bf16):
            logits = super().__call__(inputs, network, *args, **kwargs)
        if not isinstance(logits, tuple):
            return logits.float()
        return tuple(None if part is None else part.float() for part in logits)  # of volumes and of images


def train_and_predict(
    network: nn.Module,
    parts: dict[str, Part],
    classes: int,
    protocol: str,
    steps: int,
    recipe: Recipe,
    flip_axes: Sequence[int],
    normalisation: tuple[float, float],
    seed: int,
    device: str = "cpu",
    beside: ImageSide | None = None,
) -> dict[str, Any]:
    """Train, choose by validation, and predict the test cases once; no figure is computed of them.

    Args:
        network: changed in place.
        parts: `train`, `val` and `test`, values in [0, 1].
        classes: how many.
        protocol: what is trained, see `TRAINED`.
        steps: of the optimiser, rounded up to a multiple of the checks.
        recipe: everything else.
        flip_axes: see `Task`.
        normalisation: mean and standard deviation of the pre-training images.
        seed: of order, motion and mirroring.
        device: where to.
        beside: images to be trained on in the same steps; None: volumes alone.

    Returns:
        `val` (`auc` and `loss` of the chosen check, `curve` of all), `logits` of the test cases `(cases, classes)`,
        `seconds`.

    Raises:
        CrossDError: when the figures are not finite.
    """
    began = time.monotonic()
    mean, std = normalisation
    parts = {split: Part((p.images - mean) / std, p.labels, p.patients) for split, p in parts.items()}
    network = network.to(device)
    joined = None if beside is None else beside.join(network).to(device)
    trained = network if joined is None else joined
    for part in (network,) if joined is None else (network, joined.images):
        set_trainable(part, TRAINED[protocol])
    checks, per_check = steps_of_checks(steps, recipe)
    data = Draws(parts["train"], checks * per_check * recipe.batch_size, recipe.shift, flip_axes, -mean / std, seed)
    names = [str(index) for index in range(classes)]
    forward, place = Forward(recipe.bf16), torch.device(device)
    labels = parts["train"].labels.tolist()
    objective = classification_loss(labels, names, "multiclass", CLASS_WEIGHTS[protocol]).to(place)
    loader: Any = DataLoader(data, recipe.batch_size)
    prepare: Any = default_prepare_batch
    further: list[Any] = []
    if beside is not None and joined is not None:
        loader, prepare = beside.loader(loader, normalisation), beside.prepare
        objective, further = beside.loss(objective).to(place), beside.handlers(joined)

    def answers(output: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return output[CommonKeys.PRED].softmax(1), one_hot(output[CommonKeys.LABEL], classes)

    best = train_in_checks(
        trained,
        network,
        {"val_auc": 1, "val_loss": -1},
        steps,
        recipe,
        seed,
        place,
        {"train_data_loader": loader, "loss_function": objective, "inferer": forward, "prepare_batch": prepare},
        {
            "val_data_loader": DataLoader(_Items(parts["val"]), EVALUATED_AT_ONCE),
            "inferer": forward,
            "key_val_metric": {"val_auc": IgniteMetricHandler(metric_fn=PresentClassAUC(), output_transform=answers)},
            "additional_metrics": {
                "val_loss": IgniteMetricHandler(metric_fn=NegativeLogLikelihood("multiclass"), output_transform=answers)
            },
        },
        further,
    )
    auc, loss = best.curve[best.best]
    logits = torch.cat(list(_logits(network, parts["test"], forward, place)))
    if not (isfinite(auc) and isfinite(loss) and bool(logits.isfinite().all())):
        raise CrossDError(
            f"A run must end with finite figures, got validation AUC {auc}, loss {loss}. Lower --learning_rate, or "
            "pass --no-bf16."
        )
    return {
        "val": {"auc": auc, "loss": loss, "curve": best.curve},
        "logits": logits,
        "seconds": round(time.monotonic() - began, 1),
    }


class _Items(Dataset):
    """Cases as MONAI's engines take them."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def __len__(self) -> int:
        return len(self.part.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {CommonKeys.IMAGE: self.part.images[index], CommonKeys.LABEL: self.part.labels[index]}


def _logits(network: nn.Module, part: Part, forward: Forward, place: torch.device) -> Iterator[Tensor]:
    network.eval()
    with torch.no_grad():
        for images in part.images.split(EVALUATED_AT_ONCE):
            yield forward(images.to(place), network).cpu()
