"""Who has called what is running: MONAI tells config items neither workflow nor parser, and handlers no client.

Each of them is on the call stack while it calls. This is the only place that looks there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

Caller = TypeVar("Caller")


def _callers() -> Iterator[FrameType]:
    """The frames of what is running, the nearest first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def caller_of(kind: type[Caller]) -> Caller | None:
    """The nearest object of a class one of whose methods is running; None where there is none.

    >>> class Client:
    ...     def call(self):
    ...         return caller_of(Client) is self
    >>> Client().call(), caller_of(Client)
    (True, None)
    """
    for frame in _callers():
        if isinstance(caller := frame.f_locals.get("self"), kind):
            return caller
    return None


def arguments_of(function: Callable[..., Any]) -> Mapping[str, Any] | None:
    """The local names of a function that is running and has called what asks; None where it is not running.

    >>> def run(**override):
    ...     return arguments_of(run)["override"]
    >>> run(images="a"), arguments_of(run)
    ({'images': 'a'}, None)
    """
    code = getattr(function, "__code__", None)
    return next((frame.f_locals for frame in _callers() if frame.f_code is code), None)


_CHECKPOINTS = dict.fromkeys(("ckpt_export", "onnx_export", "trt_export"), "ckpt_file_") | {"load": "full_path"}


@dataclass(frozen=True)
class MonaiCommand:
    """A function of `monai.bundle` that builds a config's network and puts a checkpoint into it.

    Attributes:
        name: "ckpt_export", "onnx_export", "trt_export" or "load".
        checkpoint: the file.
        key: of the weights in it, "" for none.
        parser: of the config and metadata that an export writes; None for `load`.
    """

    name: str
    checkpoint: str
    key: str
    parser: Any


def monai_command() -> MonaiCommand | None:
    """The one that is running; None where there is none.

    MONAI tells the config neither the checkpoint nor what becomes of the network, so both are read from its frame.

    >>> monai_command() is None
    True
    """
    for frame in _callers():
        name, its = frame.f_code.co_name, frame.f_locals
        if frame.f_globals.get("__name__") == "monai.bundle.scripts" and _CHECKPOINTS.get(name) in its:
            key = its.get("key_in_ckpt_") or its.get("key_in_ckpt") or ""
            return MonaiCommand(name, str(its[_CHECKPOINTS[name]]), str(key), its.get("parser"))
    return None


def in_federated_round() -> bool:
    """Whether MONAI's `ClientAlgo` (`monai.fl.client.MonaiAlgo`, NVFLARE's clients) has called what is running.

    It puts the server's weights into the trainer's network and then runs the trainer, whose handlers must neither load
    the weights that a run of one's own starts from nor take up a run that was ended. MONAI does not tell them, so the
    client is looked for among the callers.

    >>> in_federated_round()
    False
    """
    module = sys.modules.get("monai.fl.client")
    return module is not None and caller_of(module.ClientAlgo) is not None
