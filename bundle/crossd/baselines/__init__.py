"""What Cross-D convolution is compared with: three older ways to put 2D weights to work on volumes."""

from __future__ import annotations

from crossd.baselines.acs import ACSConv, acs_split
from crossd.baselines.inflate import INFLATIONS, inflate_kernel
from crossd.baselines.planar import Conv2_5d

__all__ = ["INFLATIONS", "ACSConv", "Conv2_5d", "acs_split", "inflate_kernel"]
