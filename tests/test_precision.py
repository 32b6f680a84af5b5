"""Mixed precision is refused wherever there is no CUDA device: by the function, and by every config that has `amp`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from crossd.errors import CrossDError
from crossd.precision import mixed_precision

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
ENGINE = re.compile(r"Supervised(Trainer|Evaluator)$")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "mps"])
def test_what_is_no_cuda_device_is_refused(device):
    message = rf"Mixed precision \(amp\) needs a CUDA device, got '{torch.device(device).type}', .* Leave out --amp"
    with pytest.raises(CrossDError, match=message):
        mixed_precision(True, device)
    assert mixed_precision(False, device) is False


def test_a_gpu_is_allowed():
    assert mixed_precision(True, torch.device("cuda", 1)) is True


def engines(part):
    """All engines that a config defines, at any depth."""
    if isinstance(part, list):
        part = dict(enumerate(part))
    if isinstance(part, dict):
        if ENGINE.search(str(part.get("_target_"))):
            yield part
        for inner in part.values():
            yield from engines(inner)


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.stem)
def test_every_engine_asks(config):
    """An engine with an `amp` of its own would cast on a CPU, as `torch.autocast` does, or not cast without a word."""
    found = list(engines(json.loads(config.read_text(encoding="utf-8"))))
    assert {engine.get("amp", "@mixed_precision") for engine in found} <= {"@mixed_precision"}


def test_nothing_else_casts(root):
    """`torch.autocast` is entered by MONAI's engines and our steps for them, with what the engine was given."""
    allowed = {
        "segmentation/iteration.py",
        "inference/iteration.py",
        "ssl/pcrl_network.py",
    }
    package = root / "bundle" / "crossd"
    found = {str(path.relative_to(package)) for path in package.rglob("*.py") if "torch.autocast(" in path.read_text()}
    assert found <= allowed
