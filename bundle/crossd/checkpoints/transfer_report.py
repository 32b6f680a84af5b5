"""What a transfer of weights refuses before it begins, and what it did, entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from crossd.errors import CrossDError
from crossd.texts import printable

SHOWN = 4


def check_kinds(state: Mapping[str, Tensor], current: Mapping[str, Tensor], where: str) -> None:
    """Refuse tensors that are no plain arrays of floating point numbers, before any of them is copied.

    What holds no floating point numbers in the network (`current`) either, as a counter of batches, may be whole.

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


@dataclass(frozen=True)
class TransferReport:
    """The outcome of `crossd.load_pretrained`; `print` it.

    Entries of the network appear in exactly one of the first five lists, under their names in its state dict.

    Args:
        layout: what the checkpoint was recognised as.
        transferred: copied as they are (or reshaped, like the 1×1 convolutions of official predictors).
        inflated: made from a plain 2D kernel.
        adapted: computed from the checkpoint's entry: another number of input channels, or a plain 3D kernel stored so
            that θ = 0 gives it back.
        reinitialised: given fresh values: the classification layer of another number of classes, transposed
            convolutions, the predictor layer that is set to angle 0.
        missing: not in the checkpoint, and at a value stated in the notes or as initialised.
        unused: entries of the checkpoint, under their names in it, that the network has no place for.
        notes: what to know about them, one sentence each.

    >>> print(TransferReport("plain 2D", "Net", ("a.weight",), notes=("Nothing to add.",)))
    plain 2D checkpoint → Net: 1 of 1 entries from the checkpoint
      transferred      1  a.weight
      note: Nothing to add.
    """

    layout: str
    network: str
    transferred: tuple[str, ...] = ()
    inflated: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()
    reinitialised: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        loaded = len(self.transferred) + len(self.inflated) + len(self.adapted)
        total = loaded + len(self.reinitialised) + len(self.missing)
        lines = [f"{self.layout} checkpoint → {self.network}: {loaded} of {total} entries from the checkpoint"]
        for kind in ("transferred", "inflated", "adapted", "reinitialised", "missing", "unused"):
            names = getattr(self, kind)
            if names:
                lines.append(f"  {kind:<13}{len(names):>5}  {shortened(names)}")
        return printable("\n".join(lines + [f"  note: {note}" for note in self.notes]), keep="\n")


def shortened(names: tuple[str, ...] | list[str], shown: int = SHOWN) -> str:
    """The first names, and how many more there are.

    >>> shortened(["a", "b", "c"], shown=2)
    'a, b, … and 1 more'
    """
    listed = ", ".join(names[:shown])
    return listed if len(names) <= shown else f"{listed}, … and {len(names) - shown} more"
