"""Checkpoint files: written whole or not at all, read without running what is in them."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crossd.checkpoints import load_pretrained, read_checkpoint, save_checkpoint
from crossd.checkpoints.checkpoint_files import PLAIN
from crossd.errors import CrossDError
from torch import nn


def _network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def test_round_trip(tmp_path: Path) -> None:
    network = _network()
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.randn(2, 1, 5, 5)).sum().backward()
    optimizer.step()
    extra = {"epoch": 3, "best": 0.5, "history": [{"loss": 1.0}], "optimizer": optimizer.state_dict()}
    save_checkpoint(tmp_path / "new" / "folder" / "last.pt", network, **extra, random=torch.get_rng_state())
    content = read_checkpoint(tmp_path / "new" / "folder" / "last.pt")
    assert content["card"] is None
    assert content["best"] == 0.5
    assert content["history"] == [{"loss": 1.0}]
    for name, value in network.state_dict().items():
        assert torch.equal(content["model"][name], value), name
    optimizer.load_state_dict(content["optimizer"])
    assert os.listdir(tmp_path / "new" / "folder") == ["last.pt"]


def test_wrappers_leave_no_trace(tmp_path: Path) -> None:
    network = _network()
    for wrapped in (nn.DataParallel(network), torch.compile(network), torch.compile(nn.DataParallel(network))):
        save_checkpoint(tmp_path / "x.pt", wrapped)
        assert set(read_checkpoint(tmp_path / "x.pt")["model"]) == set(network.state_dict())


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict", "network", "net", None])
def test_state_dict_is_found(tmp_path: Path, key: str | None) -> None:
    state = _network().state_dict()
    torch.save(state if key is None else {"epoch": 7, key: state}, tmp_path / "x.pt")
    content = read_checkpoint(tmp_path / "x.pt")
    assert set(content) == ({"model"} if key is None else {"model", "epoch"})
    assert set(content["model"]) == set(state)


def test_pickled_options_beside_the_weights_are_read(tmp_path: Path) -> None:
    """What torchvision's and the official training scripts save under `args`."""
    options = argparse.Namespace(lr=0.1, data=["a", "b"], amp=False)
    torch.save({"model": nn.Linear(2, 2).state_dict(), "epoch": 89, "args": options}, tmp_path / "x.pth")
    content = read_checkpoint(tmp_path / "x.pth")
    assert content["args"].lr == 0.1
    assert load_pretrained(nn.Linear(2, 2), tmp_path / "x.pth").transferred == ("weight", "bias")


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch pwned",)


def _bytes(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _script() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), buffer)
    return buffer.getvalue()


UNREADABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "whole model": (
        lambda: _bytes(_network()),
        r"holds a pickled torch\.nn\.modules\.container\.Sequential, as whole models do\. If you trust the file, "
        r"convert it: python scripts/convert_checkpoint\.py .*x\.pt OUT\.pt",
    ),
    "code": (lambda: _bytes({"model": Payload()}), r"holds a pickled (posix|nt|os)\.system"),
    "truncated": (
        lambda: _bytes(_network().state_dict())[:900],
        r"x\.pt \(900 bytes\) is not, or not all of it.*again",
    ),
    "a byte short": (lambda: _bytes(_network().state_dict())[:-1], r"is not, or not all of it"),
    "empty": (lambda: b"", r"x\.pt \(0 bytes\) is not, or not all of it: EOFError"),
    "text": (lambda: b"hello, this is no checkpoint", r"is a complete file written by torch\.save"),
    "pickle of something else": (lambda: pickle.dumps([1, 2]), r"is a complete file written by torch\.save|holds list"),
    "TorchScript": (_script, r"is a TorchScript program\. Save its weights: torch\.save\(torch\.jit\.load"),
    "no weights": (
        lambda: _bytes({"epoch": 3, "optimizer": {}}),
        r"x\.pt holds epoch, optimizer\. Save network\.state_dict",
    ),
    "a list": (lambda: _bytes([torch.zeros(1)]), r"x\.pt holds list"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    build, message = UNREADABLE[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pt").write_bytes(build())
    with pytest.raises(CrossDError, match=message):
        read_checkpoint(tmp_path / "x.pt")
    with pytest.raises(CrossDError, match=message):
        load_pretrained(nn.Linear(1, 1), tmp_path / "x.pt")
    assert os.listdir(tmp_path) == ["x.pt"], "code in the file was run"


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CrossDError, match=r"there is none at .*none\.pt\. Check the path"):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(CrossDError, match="there is none at"):
        read_checkpoint(tmp_path)


def test_all_that_is_written_is_read_again(tmp_path: Path) -> None:
    plain = [kind() for kind in PLAIN - {type(None)}]
    save_checkpoint(tmp_path / "x.pt", _network(), plain=[*plain, None, (1, {2: {"a": {3.0}}})])
    read = read_checkpoint(tmp_path / "x.pt")["plain"]
    assert [type(value) for value in read[: len(plain)]] == [type(value) for value in plain]
    assert read[len(plain) :] == [None, (1, {2: {"a": {3.0}}})]


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.pt", _network(), epoch=1)
    for name, value, found in (
        ("path", [tmp_path], r"pathlib\.PosixPath as state/path/0"),
        ("best", np.float64(1), r"numpy\.float64 as state/best"),
        (Path("x"), 1, r"pathlib\.PosixPath as a key of state"),
    ):
        with pytest.raises(CrossDError, match=rf"x\.pt would hold a {found}\. Save what it is made of"):
            save_checkpoint(tmp_path / "x.pt", _network(), epoch=2, state={name: value})
    assert read_checkpoint(tmp_path / "x.pt")["epoch"] == 1
    assert os.listdir(tmp_path) == ["x.pt"]
    with pytest.raises(CrossDError, match="The entry `model` of a checkpoint is its network; got another one"):
        save_checkpoint(tmp_path / "x.pt", _network(), model=3)
    with pytest.raises(CrossDError, match="got a dict that is none"):
        save_checkpoint(tmp_path / "x.pt", {"epoch": 3})


def test_the_named_command_converts_whole_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Path(__file__).resolve().parents[2] / "scripts" / "convert_checkpoint.py"
    network = _network()
    torch.save({"optimizer": {"state": {0: torch.zeros(1)}}, "model": network}, tmp_path / "in.pt")
    monkeypatch.setattr(sys, "argv", [script.name, str(tmp_path / "in.pt"), str(tmp_path / "out.pt")])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(script), run_name="__main__")
    assert "out.pt: 7 tensors" in capsys.readouterr().out
    assert torch.equal(read_checkpoint(tmp_path / "out.pt")["model"]["0.weight"], network[0].weight)
    with pytest.raises(SystemExit, match="1"):
        runpy.run_path(str(script), run_name="__main__")
    assert "OUT must be a new file" in capsys.readouterr().err
