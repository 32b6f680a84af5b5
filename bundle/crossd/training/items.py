"""What of a case goes into a batch."""

from __future__ import annotations

from typing import Any

import torch
from monai.transforms import EnsureTyped, SelectItemsd

KEYS = ("image", "label", "case", "patient", "source")


def batch_items(task: str) -> list[Any]:
    """The label as a tensor, and of a case what a batch is made of; what is not there is left out.

    Args:
        task: `"multilabel"`, whose labels are 0 and 1 for each class, or `"multiclass"`, an index.

    Returns:
        MONAI transforms of a case.

    >>> from monai.transforms import Compose
    >>> Compose(batch_items("multiclass"))({"label": 1, "case": "a", "split": "train"})
    {'label': tensor(1), 'case': 'a'}
    """
    kind = torch.float32 if task == "multilabel" else torch.long
    return [EnsureTyped("label", dtype=kind, track_meta=False), SelectItemsd(KEYS, allow_missing_keys=True)]
