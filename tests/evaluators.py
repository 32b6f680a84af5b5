"""The evaluator of MONAI that runs cases through a network, as the configs make it."""

from __future__ import annotations

from typing import Any

import torch
from crossd.inference import classify_cases
from monai.engines import SupervisedEvaluator
from torch import nn


def evaluator(cases: Any, network: nn.Module, *handlers: Any, step: Any = classify_cases, inferer: Any = None) -> Any:
    """Of batches of cases, on the CPU."""
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=cases,
        network=network,
        inferer=inferer,
        iteration_update=step,
        val_handlers=list(handlers),
        decollate=False,
    )
