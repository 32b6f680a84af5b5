"""What a transfer of weights did, entry by entry."""

from __future__ import annotations

from dataclasses import dataclass

from crossd.texts import printable

SHOWN = 4


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
