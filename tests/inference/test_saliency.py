"""Grad-CAM over windows: on one window it is MONAI's, on many it is a loop over MONAI's, whatever the backend."""

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
    WindowGradCAM,
    WindowInferer,
    classify_cases,
    collate_cases,
)
from crossd.inference.backends import accelerate
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.visualize import GradCAM
from torch import nn

CARD = {"task": "multiclass", "class_names": ["healthy", "aneurysm"], "negative_class": 0}


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(5)
    return crossd.CrossDResNet(3, 1, 3, depth=10, width=4, conv1_t_stride=1).eval()


def monai_gradcam(network: nn.Module, window: torch.Tensor, layer: str, class_index: int) -> torch.Tensor:
    """`(depth, height, width)` of `(1, 1, depth, height, width)`, by MONAI alone, without its flip to [1, 0]."""
    return GradCAM(network, layer, postprocessing=lambda cam: cam)(window, class_idx=class_index)[0, 0].detach()


@pytest.mark.parametrize("layer", ["layer3", "layer4"])
@pytest.mark.parametrize("class_index", [0, 2])
def test_one_window_is_monais_gradcam(network: nn.Module, layer: str, class_index: int) -> None:
    volume = torch.randn(1, 32, 24, 40)
    found = WindowGradCAM(network, layer)(volume, WindowInferer(None), class_index)()
    expected = monai_gradcam(network, volume[None], layer, class_index)
    assert expected.max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))


def test_many_windows_are_the_mean_of_monais(network: nn.Module) -> None:
    """A volume that is padded along one axis and has three windows along another, the last of them shifted back."""
    volume = torch.randn(1, 12, 16, 37)
    inferer = WindowInferer(16, overlap=0.25, sw_batch_size=2, pad_value=-1.0)
    found = WindowGradCAM(network, "layer3")(volume, inferer, 1)()
    padded = nn.functional.pad(volume, (0, 0, 0, 0, 2, 2), value=-1.0)
    total, count = torch.zeros(16, 16, 37), torch.zeros(16, 16, 37)
    for start in (0, 12, 21):
        window = padded[None, ..., start : start + 16]
        total[..., start : start + 16] += monai_gradcam(network, window, "layer3", 1)
        count[..., start : start + 16] += 1
    expected = (total / count)[2:-2]
    assert expected.max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))


def test_channels_share_a_map() -> None:
    torch.manual_seed(5)
    network = crossd.CrossDResNet(3, 2, 3, depth=10, width=4, conv1_t_stride=1).eval()
    volume = torch.randn(2, 16, 24, 16)
    found = WindowGradCAM(network, "layer3")(volume, WindowInferer(None), 1)()
    expected = monai_gradcam(network, volume[None], "layer3", 1)
    assert expected.max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))


def test_every_window_counts_where_background_is_skipped(network: nn.Module) -> None:
    volume = torch.zeros(1, 16, 16, 48)
    volume[..., 40:] = 1
    every, some = (WindowInferer(16, overlap=0, skip_background=skip) for skip in (False, True))
    explain = WindowGradCAM(network, "layer3")
    torch.testing.assert_close(explain(volume, some, 1)(), explain(volume, every, 1)())


@pytest.mark.parametrize("backend", ["torchscript", "eager"])
def test_backends_without_gradients_are_explained_by_the_network_they_run(network: nn.Module, backend: str) -> None:
    volume = torch.randn(1, 16, 16, 16)
    accelerated = accelerate(network, volume[None], backend)
    before = accelerated(volume[None])
    found = WindowGradCAM(accelerated, "layer3")(volume, WindowInferer(16), 1)()
    expected = monai_gradcam(network, volume[None], "layer3", 1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.max()))
    torch.testing.assert_close(accelerated(volume[None]), before, rtol=0, atol=0)
    assert not any(module._forward_hooks for module in accelerated.modules())  # GradCAM's own are on a copy


def test_what_is_refused(network: nn.Module) -> None:
    with pytest.raises(CrossDError, match=r"`saliency_layer` must be one of .*; got 'layer9'\. Did you mean 'layer\d'"):
        WindowGradCAM(network, "layer9")
    with pytest.raises(CrossDError, match=r"`saliency` must be one of 'gradcam'; got 'grad_cam'. Did you mean 'grad"):
        Classification(CARD, saliency="grad_cam")
    with pytest.raises(CrossDError, match="evidence_class must be one of the model's classes"):
        Classification(CARD, "stroke")


def run(folder: Path, network: nn.Module, shape: tuple[int, ...] = (16, 16, 24)) -> dict[str, Any]:
    def read(item: dict[str, Any]) -> dict[str, Any]:
        if item["image"] == "broken":
            raise EOFError("Compressed file ended")
        affine = torch.diag(torch.tensor([2.0, 1.0, 1.0, 1.0], dtype=torch.float64))
        image = MetaTensor(torch.randn(1, *shape, generator=torch.Generator().manual_seed(1)), affine=affine)
        image.meta.update(spatial_shape=shape, original_affine=affine)
        return {"image": image}

    data = [{"case": name, "source": name, "image": name} for name in ("a", "broken")]
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(CaseDataset(data, read), batch_size=1, collate_fn=collate_cases),
        network=Accelerated(network),
        inferer=WindowInferer(16, overlap=0.5),
        iteration_update=classify_cases,
        val_handlers=[CaseRun(folder, Classification(CARD, None, "gradcam", "layer3"))],
        decollate=False,
    )
    evaluator.run()
    return {entry["case"]: entry for entry in json.loads((folder / "predictions.json").read_text())["cases"]}


def test_the_map_is_written_beside_the_evidence(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = crossd.CrossDResNet(3, 1, 2, depth=10, width=4, conv1_t_stride=1)
    entries = run(tmp_path, network)
    assert entries["broken"]["saliency"] is None
    assert entries["a"]["saliency"] == "saliency/a.nii.gz"
    written = nib.load(tmp_path / "saliency" / "a.nii.gz")
    np.testing.assert_array_equal(written.affine, np.diag([2.0, 1, 1, 1]))
    volume = torch.randn(1, 16, 16, 24, generator=torch.Generator().manual_seed(1))
    expected = WindowGradCAM(network, "layer3")(volume, WindowInferer(16, overlap=0.5), 1)()
    assert written.get_fdata().max() > 0
    np.testing.assert_allclose(written.get_fdata(), expected, rtol=1e-4, atol=1e-5)


def test_a_case_that_cannot_be_explained_keeps_its_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: GradCAM, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(GradCAM, "compute_map", fail)
    entry = run(tmp_path, crossd.CrossDResNet(3, 1, 2, depth=10, width=4))["a"]
    assert entry["status"] == "ok"
    assert entry["saliency"] is None
    assert entry["warnings"] == ["No gradcam map: RuntimeError: out of memory"]
