"""From an existing 2D network to a network for volumes, or to a 2D one of Cross-D convolutions."""

from crossd.convert.converting import convert
