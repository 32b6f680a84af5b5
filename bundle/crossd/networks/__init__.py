"""Networks built of Cross-D convolutions, and their plain twins."""

from __future__ import annotations

import monai.networks.nets

from crossd.networks.multi_view import MultiView
from crossd.networks.resnet import STAGES, CrossDResNet, PlainResNet
from crossd.networks.unet import CrossDUNet

__all__ = ["STAGES", "CrossDResNet", "CrossDUNet", "MultiView", "PlainResNet", "register"]


def register() -> None:
    """Make the networks reachable as `monai.networks.nets.CrossDResNet` and `CrossDUNet`; done by `import crossd`."""
    monai.networks.nets.CrossDResNet = CrossDResNet  # type: ignore[attr-defined]
    monai.networks.nets.CrossDUNet = CrossDUNet  # type: ignore[attr-defined]
