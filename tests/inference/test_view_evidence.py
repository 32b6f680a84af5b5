"""Evidence of slices and projections, put back into the volume: it is where the object is, and its sum is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crossd import CrossDConv, CrossDError, CrossDResNet, MultiView
from crossd.inference import Accelerated, VoxelEvidence, WindowInferer
from crossd.inference.attribution import log_odds, view_evidence
from crossd.networks.classifiers import CLASSIFIERS
from crossd.networks.images_of_volumes import along_axis, directions, smear
from torch import Tensor, nn

RESNET = {"name": "CrossDResNet", "depth": 10, "width": 4, "view": "projection"}
AS_THEY_ARE = {"image_size": None, "volume_size": None}


class Brightness(nn.Module):
    """Its one feature: by how much pixels are brighter than a half, in the mean."""

    num_features = 1

    def __init__(self, spatial_dims: int, in_channels: int, num_classes: int, alignment: str = "rest") -> None:
        super().__init__()
        self.conv = CrossDConv(spatial_dims, in_channels, 1, 1, bias=False, alignment=alignment)
        nn.init.ones_(self.conv.weight)
        self.fc: nn.Module = nn.Linear(1, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.conv(x) - 0.5).relu().flatten(2).mean(2))  # type: ignore[no-any-return]


@pytest.fixture
def sees_brightness() -> MultiView:
    CLASSIFIERS["Brightness"] = {"crossd": Brightness}  # type: ignore[dict-item]
    try:
        network = MultiView(3, 1, 2, {"name": "Brightness"}, image_size=20, volume_size=20, slice_step=3)
    finally:
        del CLASSIFIERS["Brightness"]
    with torch.no_grad():
        network.fc.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand_as(network.fc.weight))
    return network.eval()


def test_the_map_is_highest_at_the_bright_object(sees_brightness: MultiView) -> None:
    explain = VoxelEvidence(Accelerated(sees_brightness), "views")
    for corner in [(1, 2, 3), (12, 3, 9), (7, 15, 2)]:
        volume = torch.rand(1, 20, 24, 18) * 0.2
        volume[(0, *(slice(at, at + 5) for at in corner))] += 0.8
        values = explain(volume, WindowInferer(None), class_index=1)()
        assert values.shape == (20, 24, 18)
        highest = np.unravel_index(int(values.argmax()), values.shape)
        assert all(at <= where < at + 5 for at, where in zip(corner, highest, strict=True)), highest
        assert explain(volume, WindowInferer(None), 0)().sum() < 0, "it speaks against dark"


@pytest.mark.parametrize("exclusive", [True, False])
def test_all_of_it_is_what_the_volume_has_more_than_an_empty_one(exclusive: bool) -> None:
    options = {"directions": "diagonals", "channels": "differences", "spacing": (2, 1, 1.5), "background": -1.0}
    network = MultiView(3, 2, 2, RESNET, slice_step=3, image_size=24, volume_size=33, **options).eval()  # type: ignore[arg-type]
    nn.init.normal_(network.fc.weight)
    volume, empty = torch.rand(1, 2, 11, 16, 13), torch.full((1, 1, 1, 1), -1.0)

    def score(logits: Tensor) -> Tensor:
        return log_odds(logits, exclusive)[:, 1]

    maps = view_evidence(network, volume, empty, score)
    assert list(maps) == ["slices", "projections", "volume"]
    with torch.no_grad():
        more = score(network(volume)) - score(network(torch.full_like(volume, -1)))
    assert abs(float(more)) > 0.05
    torch.testing.assert_close(sum(one.sum() for one in maps.values()), more[0], atol=1e-4, rtol=1e-3)


def test_a_slice_stands_for_the_voxels_that_are_nearest_to_it() -> None:
    network = MultiView(3, 1, 2, RESNET, views=("slices",), spacing=(10, 1, 1), slice_step=30, **AS_THEY_ARE).eval()  # type: ignore[arg-type]
    nn.init.normal_(network.fc.weight)
    volume = torch.rand(1, 1, 9, 12, 12)
    (found,) = view_evidence(
        network, volume, torch.zeros(1, 1, 1, 1), lambda logits: log_odds(logits, True)[:, 1]
    ).values()
    assert network.slice_positions((9, 12, 12)) == {0: [1, 4, 7]}
    for first in (0, 3, 6):
        torch.testing.assert_close(found[0, first : first + 3], found[0, first : first + 1].expand(3, -1, -1))
    assert len({round(float(found[0, first].sum()), 6) for first in (0, 3, 6)}) == 3


def test_smearing_is_the_adjoint_of_the_mean_and_keeps_the_sum() -> None:
    for direction in directions("diagonals"):
        shape, spacing = (8, 9, 10), (1.0, 2.0, 1.5)
        turned, axis = along_axis(torch.rand(2, 1, *shape), direction, spacing)
        pixels = torch.zeros_like(turned.mean(2 + axis))
        pixels[:, :, pixels.shape[2] // 2, pixels.shape[3] // 2] = torch.tensor([[3.0], [-2.0]])
        found = smear(pixels, direction, shape, spacing)
        assert found.shape == (2, 1, *shape)
        torch.testing.assert_close(found.sum((1, 2, 3, 4)), torch.tensor([3.0, -2.0]), atol=1e-4, rtol=1e-4)
        if sum(map(abs, direction)) == 1:
            torch.testing.assert_close(found, (pixels / shape[axis]).unsqueeze(2 + axis).expand_as(found))


def test_another_network_sees_no_views() -> None:
    network = CrossDResNet(3, 1, 2, depth=10, width=4)
    with pytest.raises(CrossDError, match=r"`evidence` 'views' is of MultiView, .*; got CrossDResNet\. Leave it out"):
        VoxelEvidence(network, "views")
