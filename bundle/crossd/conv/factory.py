"""The MONAI side of the layer: its entry in the `Conv` factory, and building any MONAI network from it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from monai.networks.layers import Conv

from crossd.conv.layer import CrossDConv
from crossd.errors import CrossDError

_options: ContextVar[dict[str, Any] | None] = ContextVar("crossd_layer_options", default=None)
_lock = threading.Lock()
_installed: dict[str, Any] = {"users": 0, "original": None}
LAYER_OPTIONS = ("alignment", "motion", "view", "momentum", "max_angle")


class CrossDConv2d(CrossDConv):
    """`CrossDConv` with `spatial_dims=2` and the signature of `torch.nn.Conv2d`; options come from `crossd_convs()`.

    >>> import torch
    >>> CrossDConv2d(3, 8, 3, padding=1)(torch.randn(1, 3, 9, 9)).shape
    torch.Size([1, 8, 9, 9])
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(2, *arguments, **{**(_options.get() or {}), **options})


class CrossDConv3d(CrossDConv):
    """`CrossDConv` with `spatial_dims=3` and the signature of `torch.nn.Conv3d`; options come from `crossd_convs()`.

    >>> import torch
    >>> CrossDConv3d(1, 4, 3, stride=2)(torch.randn(1, 1, 9, 9, 9)).shape
    torch.Size([1, 4, 4, 4, 4])
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(3, *arguments, **{**(_options.get() or {}), **options})


def crossd_layer(spatial_dims: int) -> type[CrossDConv]:
    """Cross-D convolution, by the number of spatial dimensions: 2 or 3."""
    classes: dict[int, type[CrossDConv]] = {2: CrossDConv2d, 3: CrossDConv3d}
    if spatial_dims not in classes:
        raise CrossDError(f"Conv['crossd', spatial_dims] exists for spatial_dims 2 and 3; got {spatial_dims!r}.")
    return classes[spatial_dims]


def register() -> None:
    """Add the layer to MONAI's `Conv` factory as `Conv["crossd", spatial_dims]`; done by `import crossd`."""
    if "CROSSD" not in Conv.components:
        Conv.add_factory_callable("crossd", crossd_layer)


@contextmanager
def crossd_convs(**layer_options: Any) -> Iterator[None]:
    """Build any MONAI network from `CrossDConv`: inside the context, MONAI's `Conv["conv", 2 or 3]` is the Cross-D
    layer.

    Transposed convolutions have no counterpart and stay as they are. Other threads, and code after the context, get
    MONAI's own layers; contexts nest.

    Args:
        layer_options: `alignment`, `motion`, `view`, `momentum`, `max_angle` of every layer built inside.

    Raises:
        CrossDError: for an unknown option.

    >>> from monai.networks.nets import resnet18
    >>> with crossd_convs(motion="rotate"):
    ...     network = resnet18(spatial_dims=3, n_input_channels=1, num_classes=2)
    >>> network.conv1.motion
    'rotate'
    """
    unknown = sorted(set(layer_options) - set(LAYER_OPTIONS))
    if unknown:
        raise CrossDError(f"crossd_convs() takes the options {', '.join(LAYER_OPTIONS)}; got {', '.join(unknown)}.")
    token = _options.set(layer_options)
    with _lock:
        if _installed["users"] == 0:
            _installed["original"] = Conv.components["CONV"]
            description, original = _installed["original"]
            Conv.components["CONV"] = Conv._Component(description, _dispatcher(original))
        _installed["users"] += 1
    try:
        yield
    finally:
        _options.reset(token)
        with _lock:
            _installed["users"] -= 1
            if _installed["users"] == 0:
                Conv.components["CONV"] = _installed["original"]
                _installed["original"] = None


def _dispatcher(original: Callable[[int], Any]) -> Callable[[int], Any]:
    """A factory function that gives the Cross-D layer where a context is active in this thread, else the original."""

    def convolution(spatial_dims: int) -> Any:
        if _options.get() is None or spatial_dims not in (2, 3):
            return original(spatial_dims)
        return crossd_layer(spatial_dims)

    convolution.__doc__ = inspect.getdoc(original)
    return convolution
