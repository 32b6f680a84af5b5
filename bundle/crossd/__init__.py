"""2D→3D learning for medical volumes, inside MONAI.

`import crossd` registers `Conv["crossd", spatial_dims]` in MONAI's layer factory, and our networks in
`monai.networks.nets`.
"""

from __future__ import annotations

from pathlib import Path as _Path
from typing import Any as _Any

from crossd.checkpoints import TransferReport, load_pretrained, pretrained
from crossd.conv import (
    CrossDConv,
    CrossDConv2d,
    CrossDConv3d,
    calibrate,
    crossd_convs,
    embed_kernel,
    fold,
    set_alignment,
)
from crossd.conv import register as _register_layer
from crossd.convert import convert
from crossd.errors import CrossDError
from crossd.networks import CrossDEfficientNetLite, CrossDResNet, CrossDUNet, MultiView
from crossd.networks import register as _register_network
from crossd.pseudo3d import Pseudo3D, Pseudo3Dd, pseudo_3d, pseudo_3d_inverse
from crossd.texts import guard_logs as _guard_logs
from crossd.version import __version__


def __getattr__(name: str) -> _Any:
    if name != "embed":
        raise AttributeError(f"module 'crossd' has no attribute {name!r}")
    from crossd.probe import embed  # which loads what reads scans

    return embed


_guard_logs(_Path(__file__).parent)
_register_layer()
_register_network()

__all__ = [
    "CrossDConv",
    "CrossDConv2d",
    "CrossDConv3d",
    "CrossDEfficientNetLite",
    "CrossDError",
    "CrossDResNet",
    "CrossDUNet",
    "MultiView",
    "Pseudo3D",
    "Pseudo3Dd",
    "TransferReport",
    "__version__",
    "calibrate",
    "convert",
    "crossd_convs",
    "embed_kernel",
    "fold",
    "load_pretrained",
    "pretrained",
    "pseudo_3d",
    "pseudo_3d_inverse",
    "set_alignment",
]
