"""The methods that are compared: where their weights come from, and what they do with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import pi
from typing import Any

from crossd.errors import one_of

from scripts.benchmarks.runs.variants import ROTATE, drop_unseen_on_all_axes
from scripts.benchmarks.transfer.hybrid import Hybrid
from scripts.benchmarks.transfer.variants import align_to_volumes, drop_unseen_at_mean_motion, spread_over_axes


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Attributes:
        about: what it is, for the tables.
        layer: `"conv"` (plain convolutions), `"crossd"`, `"acs"` or `"conv2.5d"`.
        pretraining: name of the checkpoint, `<pretrained>/<name>.pt`; None for random weights.
        network: further arguments of `CrossDResNet`: alignment, motion, view …
        load: arguments of `crossd.load_pretrained`: fill …
        ours: whether it may become the recommended variant.
        baseline: whether the recommended variant is tested against it.
        spatial_dims: 3, or 2 for the tables of 2D sets.
        prepare: called with the loaded network, the 2D checkpoint's path and the training images, to change it
            before training; None: nothing is changed.
        hybrid: how it trains on images in the same steps; None: on volumes alone. Such a method is neither recommended
            nor a baseline: it sees more in a run than the others.
    """

    about: str
    layer: str
    pretraining: str | None
    network: Mapping[str, Any] = field(default_factory=dict)
    load: Mapping[str, Any] = field(default_factory=dict)
    ours: bool = False
    baseline: bool = True
    spatial_dims: int = 3
    prepare: Any = None
    hybrid: Hybrid | None = None


METHODS: dict[str, Method] = {
    "scratch": Method("random weights", "conv", None),
    "i3d-mean": Method("I3D, mean inflation", "conv", "plain", load={"fill": "mean"}),
    "i3d-centre": Method("I3D, centre inflation", "conv", "plain", load={"fill": "centre"}),
    "acs": Method("ACS", "acs", "plain"),
    "2.5d": Method("2.5D", "conv2.5d", "plain"),
    "raw": Method("Cross-D, official transfer", "crossd", "shift", {"alignment": "raw"}),
    "rest": Method("Cross-D, rest alignment", "crossd", "shift", {"alignment": "rest"}, ours=True),
    "running": Method("Cross-D, running alignment", "crossd", "shift", {"alignment": "running"}, ours=True),
    "dynamic": Method("Cross-D, dynamic alignment", "crossd", "shift", {"alignment": "dynamic"}, ours=True),
    "rotate-slice": Method(
        "rotation alone, running alignment",
        "crossd",
        "rotate-slice",
        {"alignment": "running", "motion": "rotate"},
        ours=True,
        baseline=False,
    ),
    "shift-projection": Method(
        "projection alone, running alignment",
        "crossd",
        "shift-projection",
        {"alignment": "running", "view": "projection"},
        ours=True,
        baseline=False,
    ),
    "shift-projection-decay": Method(
        "projection alone, pre-trained with decay of what axial images do not see at rest",
        "crossd",
        "shift-projection-decay",
        {"alignment": "running", "view": "projection"},
        ours=True,
        baseline=False,
    ),
    "rotate-projection": Method(
        "rotation and projection, running alignment",
        "crossd",
        "rotate-projection",
        {"alignment": "running", **ROTATE},
        ours=True,
        baseline=False,
    ),
    "rotate-projection-clean": Method(
        "the same without what images do not see at the mean motion",
        "crossd",
        "rotate-projection",
        {"alignment": "running", **ROTATE},
        ours=True,
        baseline=False,
        prepare=drop_unseen_at_mean_motion,
    ),
    "rotate-projection-axes": Method(
        "the same, spread over the three axes",
        "crossd",
        "rotate-projection",
        {"alignment": "running", **ROTATE},
        ours=True,
        baseline=False,
        prepare=spread_over_axes,
    ),
    "rotate-projection-wide": Method(
        "rotation up to π/2 instead of π/4, and projection",
        "crossd",
        "rotate-projection-wide",
        {"alignment": "running", **ROTATE, "max_angle": pi / 2},
        ours=True,
        baseline=False,
    ),
    "rotate-projection-decay": Method(
        "rotation and projection, pre-trained with decay of what axial images do not see at rest",
        "crossd",
        "rotate-projection-decay",
        {"alignment": "running", **ROTATE},
        ours=True,
        baseline=False,
    ),
    "rotate-projection-wide-decay": Method(
        "rotation up to π/2 and projection, pre-trained with the decay",
        "crossd",
        "rotate-projection-wide-decay",
        {"alignment": "running", **ROTATE, "max_angle": pi / 2},
        ours=True,
        baseline=False,
    ),
    "axes-rotate-projection": Method(
        "random through-plane axes, rotation and projection, running alignment",
        "crossd",
        "axes-rotate-projection",
        {"alignment": "running", **ROTATE},
        ours=True,
        baseline=False,
    ),
    "axes-projection": Method(
        "random through-plane axes and projection, at rest",
        "crossd",
        "axes-projection",
        {"alignment": "rest", **ROTATE},
        ours=True,
        baseline=False,
        prepare=drop_unseen_on_all_axes,
    ),
    "axes-projection-noisy": Method(
        "the same with the unseen part of the kernels as initialised",
        "crossd",
        "axes-projection",
        {"alignment": "rest", **ROTATE},
        ours=True,
        baseline=False,
    ),
    "running-on-volumes": Method(
        "Cross-D, running alignment estimated on the volumes",
        "crossd",
        "shift",
        {"alignment": "running"},
        ours=True,
        baseline=False,
        prepare=align_to_volumes,
    ),
    "hybrid": Method(
        "images and volumes together, from random weights",
        "crossd",
        None,
        {"alignment": "running"},
        baseline=False,
        hybrid=Hybrid(),
    ),
    "hybrid-running": Method(
        "images and volumes together, from the weights of `running`",
        "crossd",
        "shift",
        {"alignment": "running"},
        baseline=False,
        hybrid=Hybrid(),
    ),
    "hybrid-axes-projection": Method(
        "images and volumes together, from the weights of `axes-projection` and by its views",
        "crossd",
        "axes-projection",
        {"alignment": "rest", **ROTATE},
        baseline=False,
        prepare=drop_unseen_on_all_axes,
        hybrid=Hybrid({"alignment": "rest"}, random_axes=True),
    ),
    "ssl-2d": Method("self-supervised on images as pseudo-3D", "crossd", "ssl-2d"),
    "ssl-3d": Method("self-supervised on volumes", "crossd", "ssl-3d"),
    "ssl-joint": Method("self-supervised on both", "crossd", "ssl-joint", ours=True, baseline=False),
    "medicalnet": Method("MedicalNet", "conv", "medicalnet"),
    "conv2d": Method("plain 2D convolution", "conv", "plain", spatial_dims=2),
    "crossd2d": Method("Cross-D in 2D", "crossd", "shift", {"alignment": "dynamic"}, ours=True, spatial_dims=2),
}
"""By name, in the order of the tables. A new method is a new entry: its checkpoint's name and the options it takes."""


def find_methods(names: list[str]) -> dict[str, Method]:
    """The entries of `METHODS` of these names, in the order of `METHODS`.

    >>> list(find_methods(["raw", "scratch"]))
    ['scratch', 'raw']
    """
    for name in names:
        one_of("method", name, METHODS)
    return {name: method for name, method in METHODS.items() if name in names}
