"""Small runs with everything a report has to show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from crossd.case_run import CaseRun
from crossd.errors import CrossDError
from crossd.inference import (
    Case,
    CaseDataset,
    Classification,
    WindowInferer,
    collate_cases,
)
from crossd.inference.iteration import answer_cases
from crossd.report import ReportPage
from crossd.segmentation import Segmentation
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedEvaluator
from torch import Tensor, nn

from ..evaluators import evaluator

EVIL = '<script>alert("x")</script>'
CARD: dict[str, Any] = {
    "task": "multiclass",
    "class_names": ["healthy", f"stroke {EVIL}"],
    "negative_class": 0,
    "data": f"made {EVIL}",
    "input": {"channels": [EVIL], "plane": "axial", "spacing": None, "mean": 0.25, "std": 0.5, "roi_size": [16] * 3}
    | {"intensity": {"mode": "range", "lower": None, "upper": None}},
}


class MeanOfCells(nn.Module):
    """Logits (0, 4 · mean) of a layer that has cells, so that Grad-CAM has something to look at."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.cells = nn.Conv3d(1, 2, 4, stride=4)
        self.classes = classes
        with torch.no_grad():
            self.cells.weight.fill_(1 / 64)
            self.cells.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        mean = self.cells(x[:, :1]).mean((1, 2, 3, 4))
        return mean[:, None] * torch.arange(self.classes) * 4


def volume(index: int, shape: tuple[int, ...] = (20, 24, 32)) -> MetaTensor:
    """Brighter from case to case, a bright block lies elsewhere; axes run to superior, posterior, left."""
    affine = torch.tensor([[0, 0, -1.0, 9], [0, -1, 0, 8], [2, 0, 0, 7], [0, 0, 0, 1]], dtype=torch.float64)
    values = torch.linspace(0, 0.4 + 0.1 * index, shape[-1]).expand(1, *shape).clone()
    values[:, 2 + index : 8 + index, 4:10, 20:28] = 1
    image = MetaTensor((values - 0.25) / 0.5, affine=affine)
    image.meta.update(spatial_shape=shape, original_affine=affine, has_affine=index != 3, warnings="")
    return image


def read(item: dict[str, Any]) -> dict[str, Any]:
    if isinstance(item["image"], str):
        raise CrossDError(f"An image file must be whole: '{item['image']}' is cut {EVIL}. Copy it again.")
    return {"image": item["image"]}


def made_cases(count: int = 4) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"case": f"scan_{n}", "source": f"/data/DOE JANE/{n}.nii.gz", "image": volume(n)} for n in range(count)
    ]
    made[0]["warnings"] = [f"sheared by 18° in '/data/DOE JANE/0.nii.gz' {EVIL}", "3 slices missing"]
    made.append({"case": "cut", "source": "/data/DOE JANE/cut.nii.gz", "image": "/data/DOE JANE/cut.nii.gz"})
    made.append({"case": "log", "source": "/data/log.dcm", "image": None, "error": "no scan", "skipped": True})
    return made


def run(folder: Path, items: list[dict[str, Any]], saliency: str | None = None, **options: Any) -> ReportPage:
    """Classify the cases and write `folder/report.html`."""
    card = options.pop("card", CARD)
    window: int | None = options.pop("window", 16)
    transform: Callable[[dict[str, Any]], dict[str, Any]] = options.pop("transform", read)
    after: Callable[[SupervisedEvaluator], None] = options.pop("after", lambda evaluator: None)
    evidence: str = options.pop("evidence", "auto")
    report = ReportPage(folder, card, saliency=saliency is not None, **options)
    task = Classification(card, None, saliency, "cells", evidence)
    loader = DataLoader(CaseDataset(items, transform), batch_size=1, collate_fn=collate_cases)
    network, case_run = MeanOfCells(len(card["class_names"])), CaseRun(folder, task, page=report)
    engine = evaluator(loader, network, case_run, inferer=WindowInferer(window, overlap=0.5))
    after(engine)
    engine.run()
    return report


def segment(folder: Path, count: int = 3) -> None:
    """Segment volumes by a threshold, which their bright block passes, and write a report; the last mask is empty."""
    card = {**CARD, "task": "segmentation", "class_names": ["background", f"block {EVIL}", "other"]}
    items = [{"case": f"scan_{n}", "source": f"/data/{n}.nii.gz", "image": volume(n)} for n in range(count)]
    items.append({"case": "cut", "source": "/data/cut.nii.gz", "image": "/data/cut.nii.gz"})

    def say(case: Case) -> dict[str, Any]:
        found = case.image.as_tensor()[0].numpy() >= 1.5
        affine = case.image.meta["original_affine"].numpy()
        return {"pred": found.astype(np.uint8) * (case.number < count - 1), "affine": affine}

    loader = DataLoader(CaseDataset(items, read), batch_size=1, collate_fn=collate_cases)
    case_run = CaseRun(folder, Segmentation({**card, "label_values": [0, 1, 2]}), page=ReportPage(folder, card))
    evaluator(loader, nn.Identity(), case_run, step=lambda engine, batch: answer_cases(engine, batch, say)).run()
