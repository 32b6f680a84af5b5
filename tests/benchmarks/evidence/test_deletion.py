"""Deleting by a map that knows what counts costs more than at random; by one that knows nothing it does not."""

from __future__ import annotations

from pathlib import Path

import crossd
import numpy as np
import pytest
import torch
from crossd.checkpoints import read_card
from crossd.inference import VoxelEvidence, WindowInferer, WindowMap, inferer_from_card, network_from_card
from torch import Tensor, nn

from scripts.benchmarks.evidence.deletion import delete, methods, table

ROOT = Path(__file__).resolve().parents[3]


def test_the_map_that_knows_is_told_from_the_one_that_does_not() -> None:
    """The network counts two voxels; eighty that are as bright count nothing."""
    weight = torch.zeros(8, 8, 8)
    weight[2, 2, 2:4] = 4.0
    image = torch.zeros(1, 8, 8, 8)
    image[0, 2:6, 2:6, 2:6] = 1.0
    network = nn.Sequential(nn.Flatten(), nn.Linear(512, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.stack([torch.zeros(512), weight.flatten()]))  # type: ignore[union-attr, operator]
        network[1].bias.zero_()  # type: ignore[union-attr, operator]
    inferer = WindowInferer(8)

    def blind(image: Tensor, inferer: WindowInferer, class_index: int) -> WindowMap:
        return WindowMap(weight.flip(0), tuple(map(torch.eye, weight.shape)))

    knows, does_not = (delete(one, network, image, inferer, 1, 0) for one in (VoxelEvidence(network), blind))
    assert knows.foreground == pytest.approx(float(torch.tensor(8.0).sigmoid()) - 0.5, abs=1e-4)
    assert knows.foreground > knows.foreground_random
    assert knows.volume > knows.volume_random
    assert does_not.foreground == 0
    found = table({"knows": [knows, knows], "does not": [does_not]})
    assert "| knows | 100.0% |" in found
    assert "| does not | 0.0% |" in found
    with pytest.raises(ValueError, match="without foreground"):
        delete(blind, network, torch.zeros(1, 8, 8, 8), inferer, 1, 0)


@pytest.mark.slow
def test_the_shipped_models_map_shows_what_its_answer_rests_on(shared_data: Path) -> None:
    """Test vessels; all of them are measured by `python -m scripts.benchmarks.evidence --split test`."""
    path = ROOT / "models" / "model.pt"
    card = read_card(path)
    network = network_from_card(card)
    crossd.load_pretrained(network, path, strict_head=True)
    plain, inferer = crossd.fold(network).eval(), inferer_from_card(card)
    explain = methods(plain)["gradient"]
    found = []
    for number, voxels in enumerate(np.load(shared_data / "medmnist" / "vesselmnist3d_64.npz")["test_images"][::8]):
        image = (torch.from_numpy(voxels)[None].float() / 255 - card["input"]["mean"]) / card["input"]["std"]
        found.append(delete(explain, plain, image, inferer, 1, number))
    assert np.mean([case.foreground > case.foreground_random for case in found]) >= 0.8
    assert np.mean([case.volume > case.volume_random for case in found]) >= 0.8
