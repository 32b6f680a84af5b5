"""Whether the tensors of a checkpoint can be weights: what they count in, what they take, and that they are numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from crossd.errors import CrossDError


def check_kinds(state: Mapping[str, Tensor], current: Mapping[str, Tensor], where: str) -> None:
    """Refuse tensors that are no plain arrays of floating point numbers, before any of them is copied.

    Args:
        state: of the checkpoint.
        current: of the network; an entry that holds no floating point numbers there, such as a counter of batches, may
            hold whole numbers in the checkpoint.
        where: the checkpoint, for messages.

    >>> check_kinds({"weight": torch.ones(2, dtype=torch.int64)}, {"weight": torch.ones(2)}, "a.pt: ")
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: Weights are arrays of floating point numbers; a.pt: weight is torch.int64. Save the ...
    """
    for name, value in state.items():
        held = value.untyped_storage().nbytes() if value.layout == torch.strided and not value.is_meta else 0
        counts = name.endswith("num_batches_tracked") or (name in current and not current[name].is_floating_point())
        what = ""
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            what = f"{'quantised' if value.is_quantized else 'without values' if value.is_meta else str(value.layout)}"
        elif value.numel() * value.element_size() > max(8 * held, 2**20):  # one that repeats what it holds
            what = f"{' × '.join(map(str, value.shape))} numbers made of {held} bytes"
        elif value.is_complex() or not (value.is_floating_point() or (counts and value.dtype != torch.bool)):
            what = str(value.dtype)
        if what:
            raise CrossDError(
                f"Weights are arrays of floating point numbers; {where}{name} is {what}. Save the network in float32 "
                "again, or take another checkpoint."
            )


def check_finite(values: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights among which is infinity or what is no number: every answer would be none."""
    broken = [name for name, value in values.items() if not value.isfinite().all()]
    if broken:
        raise CrossDError(
            f"Weights are finite numbers; {where}{broken[0]} holds NaN or infinity, as do {len(broken) - 1} others of "
            f"{len(values)}. Take a checkpoint from before training diverged."
        )
