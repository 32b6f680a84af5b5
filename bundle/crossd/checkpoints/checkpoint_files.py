"""Checkpoint files: written atomically, read without running what is in them."""

from __future__ import annotations

import argparse
import os
import pickle
import re
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crossd.bundle import bundle_card, metadata_beside
from crossd.cards.rules import check_card
from crossd.checkpoints.find_weights import weights_path
from crossd.errors import CrossDError
from crossd.files import replaced

# where the state dict lies in checkpoints of others: torch's references, MONAI and MedicalNet, Lightning, ignite
STATE_KEYS = ("model", "state_dict", "model_state_dict", "network", "net")
# what training scripts pickle beside the weights: a plain namespace of options
SAFE_GLOBALS: list[Any] = [argparse.Namespace]
# what torch reads without any other; Counter is in the state of MultiStepLR
PLAIN = {Tensor, nn.Parameter, bool, int, float, complex, str, type(None)}
PLAIN |= {list, tuple, set, dict, OrderedDict, Counter}


def save_checkpoint(
    path: str | Path, network: nn.Module | Mapping[str, Tensor], /, card: dict[str, Any] | None = None, **extra: Any
) -> None:
    """Write `{"model": state_dict, "card": card, **extra}` so that the file is whole or not there.

    See `crossd.files.replaced`.

    Args:
        path: of the checkpoint; its folder is made when missing.
        network: a module (also wrapped by `DistributedDataParallel`, `DataParallel` or `torch.compile`) or its state
            dict.
        card: what the network is for, see `check_card`.
        extra: further entries (optimiser, epoch, random states …): numbers, strings, tensors, and lists and
            dictionaries of them.

    Raises:
        CrossDError: for a card that breaks a rule, or an entry that `read_checkpoint` could not read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/last.pt", nn.Linear(2, 1), epoch=3)
    ...     sorted(read_checkpoint(f"{folder}/last.pt"))
    ['card', 'epoch', 'model']
    """
    if card is not None:
        check_card(card)
    if "model" in extra:
        raise CrossDError("The entry `model` of a checkpoint is its network; got another one. Give it another name.")
    path = Path(path)
    state = unwrap(network).state_dict() if isinstance(network, nn.Module) else network
    if not is_state_dict(state):
        raise CrossDError(
            f"A checkpoint holds a state dict, names to tensors; got a {type(network).__name__} that is none. "
            "Pass the network or network.state_dict()."
        )
    tensors = {name: value.detach().cpu() for name, value in state.items()}
    content = {"model": tensors, "card": card, **extra}
    for where, kind in _pickled(content, ""):
        raise CrossDError(
            "A checkpoint holds tensors, numbers, strings, lists and dictionaries only, which are read without running "
            f"code; {path} would hold a {kind.__module__}.{kind.__qualname__} as {where}. Save what it is made of."
        )
    with replaced(path) as file:
        torch.save(content, file)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint file onto the CPU, whoever wrote it, without running any code in it.

    Args:
        path: a file of `torch.save`: one of ours, a bare state dict, or a dictionary that holds one under `model`,
            `state_dict`, `model_state_dict`, `network` or `net`; or the name of weights that `crossd.pretrained` knows.

    Returns:
        The file's entries; the state dict is always under `"model"`. Pickled objects other than tensors and plain
        values are not loaded, except for an `argparse.Namespace`.

    Raises:
        CrossDError: for a file that is missing, incomplete, no checkpoint, or that holds pickled objects such as a
            whole model, with the command that converts it.
    """
    content = _load(weights_path(path))
    entries = state_entries(content)
    if entries is None:
        keys = ", ".join(map(str, list(content)[:8])) if isinstance(content, Mapping) else type(content).__name__
        raise CrossDError(
            f"A checkpoint holds a state dict, bare or under one of {', '.join(STATE_KEYS)}; {path} holds {keys}. Save "
            "network.state_dict()."
        )
    return entries


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of a checkpoint file, checked.

    Returns:
        The card inside the file. For a bare state dict in a bundle's `models` folder, the entry `card` of the bundle's
        `configs/metadata.json`.

    Raises:
        CrossDError: when there is neither, or the card breaks a rule of `check_card`.
    """
    content, where = _load(Path(path)), str(path)
    card = None
    if is_state_dict(content):
        metadata = metadata_beside(path)
        card = bundle_card(metadata)
        where = where if card is None else str(metadata)
    elif isinstance(content, Mapping):
        card = content.get("card")
    if card is None:
        raise CrossDError(
            f"A checkpoint to run must say what its network is, in a card; {path} has none, and lies in no bundle "
            "whose configs/metadata.json has one. Use a model trained with configs/train.json, or load its weights "
            "with crossd.load_pretrained and write them again with crossd.checkpoints.save_checkpoint(…, card=…)."
        )
    return check_card(card, where)


def is_state_dict(content: Any) -> bool:
    """Whether this maps names to tensors."""
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    )


def state_entries(content: Any) -> dict[str, Any] | None:
    """The entries of what is or holds a state dict, which moves under `"model"`; `None` when there is none."""
    if is_state_dict(content):
        return {"model": dict(content)}
    if isinstance(content, Mapping):
        for key in STATE_KEYS:
            if is_state_dict(content.get(key)):
                return {**{name: value for name, value in content.items() if name != key}, "model": dict(content[key])}
    return None


def unwrap(network: nn.Module) -> nn.Module:
    """The module inside `DistributedDataParallel`, `DataParallel` and `torch.compile`."""
    while True:
        if isinstance(network, nn.parallel.DistributedDataParallel | nn.DataParallel):
            network = network.module
        elif isinstance(getattr(network, "_orig_mod", None), nn.Module):
            network = network._orig_mod  # type: ignore[assignment]
        else:
            return network


def _pickled(value: Any, where: str) -> Iterator[tuple[str, type]]:
    """Where an entry, or what is in it, is no plain value, and its type."""
    if type(value) not in PLAIN:
        yield where, type(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _pickled(key, f"a key of {where}")
            yield from _pickled(inner, f"{where}/{key}" if where else str(key))
    elif isinstance(value, list | tuple | set):
        for number, inner in enumerate(value):
            yield from _pickled(inner, f"{where}/{number}")


def _load(path: Path) -> Any:
    if not path.is_file():
        raise CrossDError(f"A checkpoint is a file; there is none at {path}. Check the path.")
    try:
        with torch.serialization.safe_globals(SAFE_GLOBALS), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*TorchScript archive.*")
            return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise CrossDError(f"A checkpoint must be readable; {path} is not: {error}. Change its permissions.") from error
    except pickle.UnpicklingError as error:
        pickled = re.search(r"(?:GLOBAL|class|function) ([\w.]+\.\w+)", str(error))
        if pickled is None:
            raise _incomplete(path, error) from error
        raise CrossDError(
            f"Checkpoints are read without running code, so they hold tensors and plain values only; {path} holds a "
            f"pickled {pickled[1]}, as whole models do. If you trust the file, convert it: "
            f"python scripts/convert_checkpoint.py {path} OUT.pt"
        ) from error
    except Exception as error:  # the unpickler meets arbitrary bytes and fails in as many ways
        if "TorchScript" in str(error):
            raise CrossDError(
                f"A checkpoint holds a state dict; {path} is a TorchScript program. Save its weights: "
                'torch.save(torch.jit.load(PATH).state_dict(), "weights.pt").'
            ) from error
        raise _incomplete(path, error) from error


def _incomplete(path: Path, error: Exception) -> CrossDError:
    reason = str(error).split("\n")[0][:120] or "it ends early"
    return CrossDError(
        f"A checkpoint is a complete file written by torch.save; {path} ({path.stat().st_size} bytes) is not, or not "
        f"all of it: {type(error).__name__}: {reason}. Download or copy it again."
    )
