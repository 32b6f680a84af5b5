"""Networks built of Cross-D convolutions, and their plain twins."""

from __future__ import annotations

import monai.networks.nets

from crossd.networks.resnet import STAGES, CrossDResNet, PlainResNet

__all__ = ["STAGES", "CrossDResNet", "PlainResNet", "register"]


def register() -> None:
    """Make the networks reachable as `monai.networks.nets.CrossDResNet`; done by `import crossd`."""
    monai.networks.nets.CrossDResNet = CrossDResNet  # type: ignore[attr-defined]
