"""The Cross-D convolution layer and its entry in MONAI's `Conv` factory."""

from __future__ import annotations

from crossd.conv.alignment import calibrate, random_through_plane, set_alignment, set_through_plane
from crossd.conv.factory import CrossDConv2d, CrossDConv3d, crossd_convs, register
from crossd.conv.fold import fold
from crossd.conv.inflation import embed_kernel, inflate_kernel
from crossd.conv.layer import CrossDConv
from crossd.conv.unseen import drop_unseen, unseen_penalty

__all__ = [
    "CrossDConv",
    "CrossDConv2d",
    "CrossDConv3d",
    "calibrate",
    "crossd_convs",
    "drop_unseen",
    "embed_kernel",
    "fold",
    "inflate_kernel",
    "random_through_plane",
    "register",
    "set_alignment",
    "set_through_plane",
    "unseen_penalty",
]
