"""How long a training takes on this machine, by a step of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from crossd.networks import build_classifier, classifier_arguments
from crossd.plan.proposal import EPOCHS, Setting
from crossd.training import set_trainable

MINUTES = 3.0  # of a training on a CPU: five folds take a quarter of an hour
BESIDE = 0.4  # seconds of an epoch that are no steps: validation, checkpoint, page


def with_duration(
    settings: Sequence[Setting], base: Mapping[str, Any], classes: int, training: int, device: Any
) -> list[Setting]:
    """The settings, of which that of epochs says how long they take; as they are where there are no epochs.

    On a CPU there are no more epochs than `MINUTES` have room for, and never fewer than the least of `propose`.

    Args:
        settings: of `propose`.
        base: the card that training starts from.
        classes: how many.
        training: cases in an epoch.
        device: of torch.
    """
    of = {setting.name: setting.value for setting in settings}
    if "epochs" not in of:
        return [*settings]
    channels = len(base["input"]["channels"])
    sizes = {"spatial_dims": 3, "in_channels": channels, "num_classes": classes}
    network = build_classifier({**classifier_arguments(base["network"], {}), **sizes}).to(device)
    set_trainable(network, of.get("trainable", "all")).train()
    images = torch.zeros(of["batch_size"], channels, *of["roi_size"], device=device)
    epoch = min(_step(network, images) for _ in range(2)) * -(-training // of["batch_size"]) + BESIDE
    return [_timed(one, epoch, images.is_cuda) if one.name == "epochs" else one for one in settings]


def _timed(epochs: Setting, seconds: float, gpu: bool) -> Setting:
    """
    >>> short = _timed(Setting("epochs", 200, "400 steps"), 6.0, gpu=False)
    >>> short.value, short.reason
    (30, '400 steps; about 3 minutes on this CPU, which has no time for 200: more may be better')
    >>> _timed(Setting("epochs", 50, "100 steps"), 6.0, gpu=True).reason
    '100 steps; about 5 minutes on this machine'
    """
    most = epochs.value if gpu else max(EPOCHS[0], min(epochs.value, int(60 * MINUTES / seconds)))
    said = f"{epochs.reason}; about {_said(most * seconds)} on this {'machine' if most == epochs.value else 'CPU'}"
    if most == epochs.value:
        return replace(epochs, reason=said)
    return Setting(epochs.name, most, f"{said}, which has no time for {epochs.value}: more may be better")


def _step(network: torch.nn.Module, images: torch.Tensor) -> float:
    """Seconds of a step."""
    start = time.perf_counter()
    network(images).sum().backward()
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _said(seconds: float) -> str:
    """
    >>> _said(90), _said(7200)
    ('2 minutes', '2.0 hours')
    """
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{max(1, round(seconds / 60))} minutes"
