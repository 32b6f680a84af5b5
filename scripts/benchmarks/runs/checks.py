"""Training in steps, validated now and then: the network ends as it was at the check that validated best."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from crossd.training.randomness import derive_seed
from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, ValidationHandler
from monai.optimizers import WarmupCosineSchedule
from torch import Tensor, nn

from scripts.benchmarks.runs.recipe import BaseRecipe


class BestCheck:
    """Handler of a validating engine that keeps the network's state where it validated best; the first of equals.

    Args:
        network: whose state is copied.
        figures: of the engine's metrics, the first that counts first; 1 where more is better, -1 where less is.
    """

    def __init__(self, network: nn.Module, figures: Mapping[str, int]) -> None:
        self.network = network
        self.figures = figures
        self.curve: list[tuple[float, ...]] = []  # the figures of each check
        self.state: dict[str, Tensor] = {}

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator; MONAI calls this."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        self.curve.append(tuple(round(float(engine.state.metrics[name]), 5) for name in self.figures))
        if self.best == len(self.curve) - 1:
            self.state = copy.deepcopy(self.network.state_dict())

    @property
    def best(self) -> int:
        """Index of the best check."""
        return max(range(len(self.curve)), key=lambda check: self._worth(self.curve[check]))

    def _worth(self, figures: Sequence[float]) -> tuple[float, ...]:
        return tuple(sign * value for sign, value in zip(self.figures.values(), figures, strict=True))


def steps_of_checks(steps: int, recipe: BaseRecipe) -> tuple[int, int]:
    """How many checks, and the steps before each: together as many steps as asked for, or a few more.

    >>> steps_of_checks(50, BaseRecipe(checks=20))
    (20, 3)
    """
    checks = min(recipe.checks, steps)
    return checks, -(-steps // checks)


def train_in_checks(
    trained: nn.Module,
    network: nn.Module,
    figures: Mapping[str, int],
    steps: int,
    recipe: BaseRecipe,
    seed: int,
    device: torch.device,
    training: Mapping[str, Any],
    validation: Mapping[str, Any],
    handlers: Iterable[Any] = (),
) -> BestCheck:
    """Train by AdamW with a warm-up and a cosine, and leave `network` in the state of its best check.

    Args:
        trained: whose parameters are, `network` or what holds it.
        network: which is validated.
        figures: see `BestCheck`.
        steps: see `steps_of_checks`.
        recipe: the learning rate and how it changes, weight decay, checks.
        seed: of what draws from the global generator.
        device: where both are.
        training, validation: further arguments of MONAI's `SupervisedTrainer` and `SupervisedEvaluator`.
        handlers: further ones of the trainer.
    """
    checks, per_check = steps_of_checks(steps, recipe)
    total = checks * per_check
    parameters = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule: Any = WarmupCosineSchedule(optimizer, max(1, round(recipe.warmup * total)), total, warmup_multiplier=0.1)
    best = BestCheck(network, figures)
    evaluator = SupervisedEvaluator(device=device, network=network, val_handlers=[best], decollate=False, **validation)
    trainer = SupervisedTrainer(
        device=device,
        max_epochs=checks,
        epoch_length=per_check,
        network=trained,
        optimizer=optimizer,
        train_handlers=[
            LrScheduleHandler(schedule, print_lr=False, epoch_level=False),
            ValidationHandler(interval=1, validator=evaluator),
            *handlers,
        ],
        decollate=False,
        **training,
    )
    for engine in (trainer, evaluator):
        engine.logger.setLevel("WARNING")
    torch.manual_seed(derive_seed(seed, 2))
    trainer.run()
    network.load_state_dict(best.state)
    return best
