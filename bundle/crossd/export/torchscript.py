"""TorchScript: one file with the network, the metadata and the inference config, as MONAI's `ckpt_export` writes it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch

from crossd.export.description import inference_config, metadata_of
from crossd.export.trained import Trained
from crossd.export.verification import Forward


def write_torchscript(trained: Trained, path: Path) -> None:
    """Write `path`, which MONAI Deploy runs alone and `monai.bundle.load(…, load_ts_module=True)` reads.

    The archive inside is called after the file, and clients look there for `extra/metadata.json` and
    `extra/inference.json`: move the file, but do not rename it.
    """
    from monai.data import save_net_with_metadata

    extra = {"inference.json": json.dumps(inference_config(trained)).encode()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; its files are what MONAI's clients read
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
