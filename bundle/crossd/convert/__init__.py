"""From an existing 2D network to a network for volumes, or to a 2D one of Cross-D convolutions."""

from __future__ import annotations

from crossd.convert.converting import convert

__all__ = ["convert"]
