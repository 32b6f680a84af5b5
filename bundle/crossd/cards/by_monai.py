"""Checkpoints that MONAI's own commands put into a config's network: their card counts, not the config's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from crossd.bundle import is_bundles_own
from crossd.callers import monai_command
from crossd.cards.metadata import metadata_from_card
from crossd.checkpoints import load_pretrained, read_card, read_checkpoint
from crossd.errors import CrossDError


def card_to_build(card: dict[str, Any]) -> dict[str, Any]:
    """The card of the network to build: the config's, or that of the checkpoint that MONAI is about to put into it.

    `ckpt_export`, `trt_export` and `monai.bundle.load` take a checkpoint besides the config, and look at neither's
    card. What an export then says of itself, `metadata.json`, is made from the checkpoint's card unless it speaks of
    that model already.

    Raises:
        CrossDError: for a checkpoint without a card, an export that cannot carry one, and weights that MONAI would not
            find in the checkpoint.
    """
    command = monai_command()
    if command is None:
        return card
    path = Path(command.checkpoint)
    if command.name == "onnx_export":
        raise CrossDError(
            f"An exported model says what it is; MONAI's onnx_export writes no card into the file made of {path}. "
            f"Run python scripts/export.py --to onnx --weights {path} --output_dir FOLDER."
        )
    its = read_card(path)
    if command.parser is not None:
        content = read_checkpoint(path)
        if set(content) != {"model"} and command.key not in content:
            raise CrossDError(
                f"An export has to be told where in a checkpoint the weights are; got --key_in_ckpt '{command.key}' "
                f"for {path}, which holds them under 'model'. Pass --key_in_ckpt model."
            )
        known = command.parser.get("_meta_", None) or {}
        if not is_bundles_own(its, known):  # the config itself, as to set an item would undo what is resolved already
            command.parser.config["_meta_"] = metadata_from_card(its, path, known)
    return its


def with_its_weights(network: nn.Module) -> nn.Module:
    """The network; where MONAI's command puts a checkpoint into it, with these weights, which have to fit.

    MONAI's `load` passes over what does not fit, and over weights under a key: the network would stay random.
    """
    command = monai_command()
    if command is not None:
        load_pretrained(network, command.checkpoint, strict_head=True)
    return network
