"""TorchScript: one file with the network, its metadata and the inference config, as MONAI's `ckpt_export` writes it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from crossd.cards.metadata import metadata_from_card
from crossd.errors import CrossDError
from crossd.export.trained import Forward, Trained


def metadata_of(trained: Trained) -> dict[str, Any]:
    """The bundle's `metadata.json` for the bundle's own model; for another checkpoint, one made from its card."""
    metadata = _read(trained.bundle / "configs" / "metadata.json")
    if metadata.get("card") == trained.card:
        return metadata
    return metadata_from_card(trained.card, trained.weights, metadata)


def inference_config(trained: Trained) -> dict[str, Any]:
    """The bundle's `inference.json` with the card in it, so that it needs no checkpoint beside it.

    The card is a text that `json.loads` reads. MONAI would take entries such as `"$…"` or `"@…"` in plain
    JSON for code and references, and a checkpoint of unknown origin must not bring any.
    """
    config = _read(trained.bundle / "configs" / "inference.json")
    text = json.dumps(trained.card)
    for character in "$@%#":  # of code, references, macros and their paths; in JSON they stand inside texts only
        text = text.replace(character, f"\\u{ord(character):04x}")
    return config | {"card": {"_target_": "json.loads", "s": text}}


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise CrossDError(
            f"A TorchScript export carries the bundle's configs; {path} cannot be read: {error}. Run it in a bundle, "
            "or name one."
        ) from error


def write_torchscript(trained: Trained, path: Path) -> None:
    """Write `path`, which MONAI Deploy runs alone and `monai.bundle.load(…, load_ts_module=True)` reads.

    The archive inside is called after the file, and clients look there for `extra/metadata.json` and
    `extra/inference.json`: move the file, but do not rename it.
    """
    from monai.data import save_net_with_metadata

    extra = {"inference.json": json.dumps(inference_config(trained)).encode()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; its files are what MONAI's clients read
        if trained.one_size:
            program = torch.jit.trace(trained.network, trained.examples[1], check_trace=False)
        else:
            program = torch.jit.script(trained.network)
        save_net_with_metadata(
            program, str(path), include_config_vals=False, meta_values=metadata_of(trained), more_extra_files=extra
        )


def run_torchscript(path: Path) -> Forward:
    """The forward pass of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.load(str(path), map_location="cpu").eval()
    return program.__call__
