"""Networks built of Cross-D convolutions, and their plain twins."""

from __future__ import annotations

import monai.networks.nets

from crossd.networks.classifiers import (
    CLASSIFIERS,
    Classifier,
    build_classifier,
    classifier_arguments,
    input_arguments,
)
from crossd.networks.efficientnet_lite import CrossDEfficientNetLite, PlainEfficientNetLite
from crossd.networks.ensemble import Ensemble
from crossd.networks.multi_view import MultiView
from crossd.networks.resnet import STAGES, CrossDResNet, PlainResNet
from crossd.networks.unet import CrossDUNet

CLASSIFIERS["MultiView"] = {"crossd": MultiView}  # type: ignore[dict-item]
CLASSIFIERS["Ensemble"] = {"crossd": Ensemble}  # type: ignore[dict-item]


def register() -> None:
    """Make ours reachable as `monai.networks.nets.CrossDResNet` and so on; done by `import crossd`."""
    for network in (CrossDEfficientNetLite, CrossDResNet, CrossDUNet, MultiView):
        setattr(monai.networks.nets, network.__name__, network)
