"""Tensors that are no weights are refused, before anything is copied; the network stays as it was."""

from __future__ import annotations

from pathlib import Path

import crossd
import pytest
import torch
from crossd.errors import CrossDError
from torch import Tensor, nn


def network() -> nn.Module:
    return crossd.CrossDResNet(3, 1, 2, depth=10, width=4)


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda w: w.long(), "is torch.int64"),
        (lambda w: w.char(), "is torch.int8"),
        (lambda w: w > 0, "is torch.bool"),
        (lambda w: w.to(torch.complex64), "is torch.complex64"),
        (lambda w: w.to_sparse(), "is torch.sparse_coo"),
        (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), "is quantised"),
        (lambda w: torch.zeros(1).expand(10**5, 10**5), r"is 100000 × 100000 numbers made of 4 bytes"),
        (lambda w: torch.full_like(w, torch.nan), "holds NaN or infinity"),
        (lambda w: torch.where(w == w.max(), torch.inf, w), "holds NaN or infinity"),
    ],
)
@pytest.mark.parametrize("entry", ["conv1.weight", "fc.bias", "bn1.running_var"])
def test_what_is_no_weight_is_refused(tmp_path: Path, convert, message: str, entry: str) -> None:
    state = network().state_dict()
    state[entry] = convert(state[entry])
    torch.save({"model": state}, tmp_path / "x.pt")
    kept = network()
    before = {name: value.clone() for name, value in kept.state_dict().items()}
    with pytest.raises(CrossDError, match=rf"Weights are .*x\.pt: {entry.replace('.', '[.]')} {message}"):
        crossd.load_pretrained(kept, tmp_path / "x.pt")
    for name, value in kept.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_numbers_of_any_size_are_weights(dtype: torch.dtype) -> None:
    made, into = network(), network()
    state: dict[str, Tensor] = {
        name: value.to(dtype) if value.is_floating_point() else value for name, value in made.state_dict().items()
    }
    crossd.load_pretrained(into, state, strict_head=True)
    torch.testing.assert_close(into.fc.weight.detach(), made.fc.weight.detach(), rtol=1e-2, atol=1e-2)  # type: ignore[union-attr]
    assert into.fc.weight.dtype == torch.float32  # type: ignore[union-attr]
