"""What is measured: one row is a set of contestants on inputs of one shape, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crossd.errors import one_of

from scripts.benchmarks.speed.backends import BY_NAME
from scripts.benchmarks.speed.ways import WAYS

PASSES = ("forward", "training")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        section: the table.
        kind, arguments: what `scripts.benchmarks.speed.contestants.build` makes of the names in `contestants`.
        contestants: the first is what the others are compared with.
        shape: of the input.
        mode: `"forward"`, in evaluation mode without gradients; or `"training"`: forward and backward, for networks
            with the cross-entropy and a step of plain SGD.
        memory: whether peak memory is measured too.
    """

    section: str
    kind: str
    arguments: tuple[int, ...]
    contestants: tuple[str, ...]
    shape: tuple[int, ...]
    mode: str
    memory: bool = True

    @property
    def name(self) -> str:
        """Unique within all rows.

        >>> rows("table3")[0].name
        'table3 layer 64-512-3 on 8x64x128x128 forward'
        """
        arguments, shape = "-".join(map(str, self.arguments)), "x".join(map(str, self.shape))
        return f"{self.section} {self.kind} {arguments} on {shape} {self.mode}"


LAYERS = ("Conv2d", "CrossDConv", "FFT", "ACSConv", "Conv3d")
# the last shape of the paper's Table III has batch 32: on a CPU 2, as the cost is linear in the batch
TABLE3 = ((8, 64, 128, 128), (16, 128, 224, 224), (2, 384, 224, 224))
STAGES = ((64, 56), (128, 28), (256, 14), (512, 7))  # channels and width of ResNet-18 on images of 224


def _table3() -> list[Row]:
    return [Row("table3", "layer", (shape[1], 512, 3), LAYERS, shape, mode) for shape in TABLE3 for mode in PASSES]


def _stages() -> list[Row]:
    return [
        Row("stages", "layer", (channels, channels, 3), LAYERS, (batch, channels, width, width), mode)
        for channels, width in STAGES
        for batch in (8, 32)
        for mode in PASSES
    ]


def _ways() -> list[Row]:
    sizes = ((3, 64, 4, 224), (3, 64, 16, 64), (1, 24, 32, 224), (1, 24, 32, 64))  # channels, width, batch, edge
    return [
        Row("ways", "width", (channels, width, 10), tuple(WAYS), (batch, channels, edge, edge), mode)
        for channels, width, batch, edge in sizes
        for mode in PASSES
    ]


def _resnet() -> list[Row]:
    networks = ("ResNet-18", "CrossDResNet-18", "FFT ResNet-18")
    return [
        Row("resnet", "generation", (512, 512, 3), ("FFT", "CrossDConv"), (8, 3), "forward"),
        *(Row("resnet", "network", (3, 1000), networks, (8, 3, 224, 224), mode) for mode in PASSES),
    ]


def _lite() -> list[Row]:
    names = ("lite0, folded", "lite0")
    return [Row("lite", "network", (3, 1000), names, (8, 3, 224, 224), mode) for mode in PASSES]


def _views() -> list[Row]:
    names = ("MONAI EfficientNet-B0", "lite0 3D, folded", "MultiView, projections")
    return [Row("views", "network", (1, 2), names, (1, 1, *[edge] * 3), "forward") for edge in (64, 128)]


def _volumes() -> list[Row]:
    shapes = [(batch, 1, edge, edge, edge) for edge in (96, 128) for batch in (1, 2, 8)]
    names = {  # a folded network is for inference
        "forward": ("MONAI ResNet-18", "folded", "running"),
        "training": ("MONAI ResNet-18", "running"),
    }
    return [Row("volumes", "network", (1, 2), names[mode], shape, mode) for shape in shapes for mode in PASSES]


def _backends() -> list[Row]:
    networks = ("MONAI ResNet-18", *BY_NAME)
    sizes = ((24, 1, 64), (24, 4, 64), (24, 16, 64), (64, 2, 96))  # width, batch, edge; 24 is the bundle's width
    return [
        Row(
            "backends",
            "backend",
            (1, 2, width, batch, edge),
            networks,
            (batch, 1, *[edge] * 3),
            "forward",
            memory=False,
        )
        for width, batch, edge in sizes
    ]


def _growth() -> list[Row]:
    base = (8, 128, 3)
    cases = [(batch, 128, 3) for batch in (1, 2, 4, 16, 32)]
    cases += [(8, channels, 3) for channels in (16, 32, 64, 256, 512)]
    cases += [(8, 128, size) for size in (1, 5, 7)]
    return [
        Row(
            "growth",
            "layer",
            (channels, channels, size),
            ("Conv2d", "CrossDConv", "FFT"),
            (batch, channels, 28, 28),
            mode,
            memory=False,
        )
        for batch, channels, size in (base, *cases)
        for mode in PASSES
    ]


def _guard() -> list[Row]:
    """Quick rows that `tests/benchmarks/speed/test_guard.py` measures again."""
    layers, networks = ("Conv2d", "CrossDConv"), ("ResNet-18", "CrossDResNet-18")
    guards = [
        Row("guard", "layer", (channels, channels, 3), layers, (8, channels, width, width), mode, memory=False)
        for channels, width in ((64, 56), (256, 14))
        for mode in PASSES
    ]
    return [
        *guards,
        Row("guard", "generation", (128, 128, 3), ("FFT", "CrossDConv"), (8, 3), "forward", memory=False),
        Row("guard", "network", (3, 1000), networks, (2, 3, 112, 112), "training", memory=False),
        Row("guard", "network", (1, 2), ("MONAI ResNet-18", "folded", "dynamic"), (2, 1, 48, 48, 48), "forward", False),
    ]


SECTIONS: dict[str, Callable[[], list[Row]]] = {
    "table3": _table3,
    "stages": _stages,
    "ways": _ways,
    "resnet": _resnet,
    "lite": _lite,
    "views": _views,
    "volumes": _volumes,
    "backends": _backends,
    "growth": _growth,
    "guard": _guard,
}


def rows(section: str = "all") -> list[Row]:
    """The rows of a section, or of all.

    Raises:
        CrossDError: for a section that does not exist.

    >>> len(rows("stages"))
    16
    """
    if section == "all":
        return [row for make in SECTIONS.values() for row in make()]
    return SECTIONS[one_of("section", section, (*SECTIONS, "all"))]()
