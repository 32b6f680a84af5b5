"""Evidence from within the network: of one window, a map that is highest where the network looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import crossd
import nibabel as nib
import numpy as np
import pytest
import torch
from crossd.case_run import CaseRun
from crossd.errors import CrossDError
from crossd.inference import (
    Accelerated,
    CaseDataset,
    Classification,
    VoxelEvidence,
    WindowInferer,
    classify_cases,
    collate_cases,
)
from crossd.inference.attribution import log_odds
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedEvaluator
from torch import Tensor, nn

METHODS = ("gradient", "occlusion")  # of every network
CARD = {"task": "multiclass", "class_names": ["dark", "bright"], "negative_class": 0}


def volume(corner: tuple[int, int, int] | None, generator: torch.Generator) -> Tensor:
    """`(1, 20, 22, 18)` of noise, and in it a bright cube of 5³ voxels."""
    made = torch.rand(1, 20, 22, 18, generator=generator) * 0.2
    if corner is not None:
        made[(0, *(slice(at, at + 5) for at in corner))] += 0.8
    return made


def in_window(some: Tensor) -> Tensor:
    return nn.functional.pad(some, (7, 7, 5, 5, 6, 6))[None]


@pytest.fixture(scope="module")
def sees_brightness() -> nn.Module:
    """A network that was trained, in windows of 32³ voxels, to say whether there is a cube."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = crossd.CrossDResNet(3, 1, 2, depth=10, width=4)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(40):
        corners = torch.randint(0, 13, (8, 3), generator=generator).tolist()
        batch = torch.cat([in_window(volume(at if n % 2 else None, generator)) for n, at in enumerate(corners)])  # type: ignore[arg-type]
        loss = nn.functional.cross_entropy(network(batch), torch.arange(8) % 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        assert network(in_window(volume((3, 9, 6), generator))).softmax(1)[0, 1] > 0.9
        assert network(in_window(volume(None, generator))).softmax(1)[0, 1] < 0.1
    return network


@pytest.mark.parametrize("backend", ["eager", "torchscript"])
@pytest.mark.parametrize("method", METHODS)
def test_the_map_is_highest_at_the_bright_object(sees_brightness: nn.Module, method: str, backend: str) -> None:
    explain = VoxelEvidence(Accelerated(sees_brightness, backend), method)
    generator = torch.Generator().manual_seed(1)
    for corner in [(1, 2, 3), (12, 3, 9), (7, 15, 2)]:
        found = explain(volume(corner, generator), WindowInferer(32), 1)
        values = found()
        assert values.shape == (20, 22, 18)
        assert not found.uniform
        highest = np.unravel_index(int(values.argmax()), values.shape)
        slack = 0 if method == "gradient" else 3  # a cube of 4 voxels is hidden as one
        assert all(at - slack <= where < at + 5 + slack for at, where in zip(corner, highest, strict=True)), highest


def linear(weight: Tensor) -> nn.Module:
    """A network whose second logit is the weighted sum of a volume, and whose first is 0."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(weight.numel(), 2, bias=False))
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].weight[1] = weight.flatten()  # type: ignore[index]
    return network


@pytest.mark.parametrize("method", METHODS)
def test_of_a_linear_network_the_parts_sum_to_what_the_volume_adds(method: str) -> None:
    """With one voxel a cube both are exact, for each channel's own background: (x - b) · w."""
    torch.manual_seed(2)
    weight, seen = torch.randn(2, 8, 8, 8), torch.randn(2, 8, 8, 8)
    inferer = WindowInferer(8, pad_value=(-1.0, 0.5))
    found = VoxelEvidence(linear(weight), method)(seen, inferer, 1)()
    background = torch.tensor([-1.0, 0.5]).reshape(2, 1, 1, 1)
    torch.testing.assert_close(found, ((seen - background) * weight).sum(0), rtol=1e-3, atol=1e-3)
    opposite = VoxelEvidence(linear(weight), method)(seen, inferer, 0)()
    torch.testing.assert_close(opposite, -found, rtol=1e-3, atol=1e-3)


def test_windows_that_overlap_are_averaged_and_what_is_padded_is_cut() -> None:
    weight, seen = torch.ones(1, 4, 4, 4), torch.rand(1, 2, 4, 6)
    found = VoxelEvidence(linear(weight))(seen, WindowInferer(4, overlap=0.5), 1)()
    torch.testing.assert_close(found, seen[0])  # every window says the same of a voxel


def test_background_windows_add_nothing_and_are_not_asked() -> None:
    asked = []

    class Asked(nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            asked.append(len(batch))
            return torch.stack([batch.sum((1, 2, 3, 4)), batch.new_zeros(len(batch))], 1)

    seen = torch.zeros(1, 4, 4, 20)
    seen[..., 18] = 1.0
    found = VoxelEvidence(Asked())(seen, WindowInferer(4, overlap=0, skip_background=True), 0)()
    assert found.count_nonzero() == 16
    assert sum(asked) == 2  # the first empty window, for all of them, and the last one


@pytest.mark.slow
def test_without_gradients_it_is_occluded(sees_brightness: nn.Module, caplog: pytest.LogCaptureFixture) -> None:
    class Frozen(nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            with torch.no_grad():
                return sees_brightness(batch)

    explain = VoxelEvidence(Frozen())
    seen = volume((7, 4, 6), torch.Generator().manual_seed(3))
    found = explain(seen, WindowInferer(32), 1)()
    assert explain.method == "occlusion"
    assert "gives no gradients" in caplog.text
    torch.testing.assert_close(found, VoxelEvidence(sees_brightness, "occlusion")(seen, WindowInferer(32), 1)())


def test_log_odds_are_those_of_the_probabilities() -> None:
    logits = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(log_odds(logits, True), logits.softmax(1).logit())
    torch.testing.assert_close(log_odds(logits, False), logits.sigmoid().logit())
    assert log_odds(torch.tensor([[500.0, -500.0]]), True).isfinite().all()  # probabilities would be 1 and 0


def test_what_is_refused() -> None:
    with pytest.raises(CrossDError, match=r"`evidence` must be one of 'gradient', 'occlusion', 'views'; got 'gradcam'"):
        VoxelEvidence(nn.Identity(), "gradcam")
    with pytest.raises(
        CrossDError, match=r"`evidence` must be one of 'auto', .*; got 'window'. Did you mean 'windows'"
    ):
        Classification(CARD, evidence="window")


def run(folder: Path, network: nn.Module, shape: tuple[int, ...] = (20, 22, 18), **options: Any) -> dict[str, Any]:
    def read(item: dict[str, Any]) -> dict[str, Any]:
        made = volume((1, 2, 3), torch.Generator().manual_seed(1))
        made = nn.functional.pad(
            made, [pad for have, want in zip((18, 22, 20), shape[::-1], strict=True) for pad in (0, want - have)]
        )
        image = MetaTensor(made, affine=torch.diag(torch.tensor([2.0, 1.0, 1.0, 1.0], dtype=torch.float64)))
        image.meta.update(spatial_shape=shape, original_affine=image.affine)
        return {"image": image}

    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(CaseDataset([{"case": "a", "source": "a"}], read), collate_fn=collate_cases),
        network=network,
        inferer=WindowInferer(32, overlap=0),
        iteration_update=classify_cases,
        val_handlers=[CaseRun(folder, Classification(CARD, **options))],
        decollate=False,
    )
    evaluator.run()
    return dict(json.loads((folder / "predictions.json").read_text())["cases"][0])


@pytest.mark.parametrize(
    ("shape", "options", "method", "header"),
    [
        ((20, 22, 18), {}, "gradient", b"gradient: what a voxel adds to the log-odds of bright"),
        ((20, 22, 18), {"evidence": "occlusion"}, "occlusion", b"occlusion: log-odds of bright lost without the cube"),
        ((20, 22, 18), {"evidence": "windows"}, "windows", b"mean probability of bright over the windows"),
        ((20, 22, 64), {}, "windows", b"mean probability of bright over the windows"),
        ((20, 22, 64), {"evidence": "gradient"}, "gradient", b"gradient: what a voxel adds"),
    ],
)
def test_the_file_and_the_answer_say_what_the_map_is(
    tmp_path: Path, sees_brightness: nn.Module, shape: tuple[int, ...], options: dict, method: str, header: bytes
) -> None:
    entry = run(tmp_path, Accelerated(sees_brightness), shape, **options)
    assert entry["evidence_method"] == method
    written = nib.load(tmp_path / entry["evidence"])
    assert written.header["descrip"].item().startswith(header)
    values = written.get_fdata()
    assert values.shape == shape
    one_window = shape[2] <= 32
    assert (values.std() == 0) == (method == "windows" and one_window)
    if method != "windows":
        assert all(
            abs(at + 2 - where) <= 5
            for at, where in zip((1, 2, 3), np.unravel_index(values.argmax(), shape), strict=True)
        )


def test_windows_that_all_say_the_same_are_looked_into(tmp_path: Path) -> None:
    """The mean of a volume of equal windows: the map of windows would be constant."""
    network = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(1, 2))

    class Saturated(nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            return network(batch * 1000)

    with torch.no_grad():
        network[2].weight.copy_(torch.tensor([[0.0], [10.0]]))  # type: ignore[union-attr, operator]
    entry = run(tmp_path, Saturated(), (40, 22, 18))
    assert (entry["windows"], entry["evidence_method"]) == (2, "gradient")


def test_a_case_that_cannot_be_explained_keeps_its_answer(
    tmp_path: Path, sees_brightness: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(torch.autograd, "grad", fail)
    entry = run(tmp_path, Accelerated(sees_brightness))
    assert (entry["status"], entry["evidence_method"]) == ("ok", "windows")
    assert entry["warnings"] == ["No evidence from within the network: RuntimeError: out of memory"]
