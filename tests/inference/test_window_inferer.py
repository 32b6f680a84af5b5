"""Windows cover the volume as MONAI's do; the answer is that of a loop; the map is the mean over covering windows."""

from __future__ import annotations

import pytest
import torch
from crossd.errors import CrossDError
from crossd.inference import WindowEvidence, WindowInferer
from monai.data import MetaTensor
from monai.inferers import sliding_window_inference
from torch import Tensor, nn


class MeanLogits(nn.Module):
    """Logits (0, mean of the window): their softmax is sigmoid(mean) for class 1."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        return torch.stack([torch.zeros_like(mean), mean], 1)


def small_network(channels: int = 1, classes: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, classes)
    ).eval()


def loop(volume: Tensor, network: nn.Module, window: tuple[int, ...], strides: tuple[int, ...]) -> tuple[list, Tensor]:
    """Windows and probabilities by nested Python loops; the last window of an axis ends at the border."""
    starts = []
    for size, extent, stride in zip(volume.shape[2:], window, strides, strict=True):
        axis = [*range(0, size - extent, stride), size - extent]
        starts.append(axis)
    corners = [(d, h, w) for d in starts[0] for h in starts[1] for w in starts[2]]
    probabilities = []
    for d, h, w in corners:
        part = volume[:, :, d : d + window[0], h : h + window[1], w : w + window[2]]
        probabilities.append(network(part).softmax(1)[0])
    return corners, torch.stack(probabilities)


@torch.no_grad()
@pytest.mark.parametrize("aggregate", ["mean", "max", "top_k", "noisy_or"])
def test_the_answer_is_that_of_a_loop(aggregate: str) -> None:
    network, volume = small_network(2), torch.randn(1, 2, 21, 16, 30)
    inferer = WindowInferer((12, 16, 10), overlap=0.5, aggregate=aggregate, sw_batch_size=3)
    corners, probabilities = loop(volume, network, (12, 16, 10), (6, 8, 5))
    evidence = inferer.windows(volume, network)
    assert [tuple(start) for start in evidence.starts.tolist()] == corners
    torch.testing.assert_close(evidence.probabilities, probabilities, atol=1e-6, rtol=0)
    assert torch.equal(inferer(volume, network)[0], inferer.aggregation(evidence.probabilities).float())


@torch.no_grad()
def test_many_windows_of_a_constant_volume() -> None:
    """MONAI's AvgMerger counts windows in uint8: 729 windows of 2.0 average to 6.7 there."""
    volume = torch.full((1, 1, 40, 40, 40), 2.0)
    inferer = WindowInferer(8, overlap=0.5)
    evidence = inferer.windows(volume, MeanLogits())
    assert len(evidence) == 729
    expected = torch.tensor(2.0).sigmoid()
    assert float(inferer(volume, MeanLogits())[0, 1]) == pytest.approx(float(expected), abs=1e-7)
    torch.testing.assert_close(evidence.map(1)(), expected.expand(40, 40, 40), atol=1e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("roi_size", [None, -1, (-1, 16, 0)])
def test_a_window_as_large_as_the_volume(roi_size: object) -> None:
    network, volume = small_network(), torch.randn(1, 1, 13, 16, 9)
    result = WindowInferer(roi_size)(volume, network)  # type: ignore[arg-type]
    torch.testing.assert_close(result, network(volume).softmax(1), atol=1e-6, rtol=0)


@torch.no_grad()
def test_small_volumes_are_padded_on_both_sides_with_the_background() -> None:
    network, volume = small_network(2), torch.randn(1, 2, 5, 16, 20)
    padded = torch.empty(1, 2, 12, 16, 20)
    padded[:, 0], padded[:, 1] = -1.5, 0.25
    padded[:, :, 3:8] = volume  # 7 planes more: 3 in front, 4 behind
    inferer = WindowInferer((12, 16, 16), overlap=0.5, pad_value=[-1.5, 0.25])
    evidence = inferer.windows(volume, network)
    torch.testing.assert_close(
        evidence.probabilities, WindowInferer((12, 16, 16), 0.5).windows(padded, network).probabilities
    )
    assert (evidence.shape, evidence.before) == ((5, 16, 20), (3, 0, 0))
    assert evidence.map(0)().shape == (5, 16, 20)


@torch.no_grad()
def test_the_map_is_monais_sliding_window_average() -> None:
    """MONAI's average of a network that paints its probability over the window is the same map."""
    volume = torch.randn(1, 1, 24, 20, 17)

    def painted(x: Tensor) -> Tensor:
        return MeanLogits()(x).softmax(1)[:, 1:, None, None, None].expand(-1, -1, *x.shape[2:]).clone()

    expected = sliding_window_inference(volume, (8, 10, 17), 2, painted, overlap=0.5)
    evidence = WindowInferer((8, 10, 17), overlap=0.5).windows(volume, MeanLogits())
    torch.testing.assert_close(evidence.map(1)(), expected[0, 0], atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_map_is_the_same_for_a_padded_volume() -> None:
    evidence = WindowInferer((8, 8, 8), overlap=0.5).windows(torch.full((1, 1, 3, 8, 14), 1.0), MeanLogits())
    by_hand = torch.zeros(3, 8, 14)
    counts = torch.zeros(3, 8, 14)
    for (_, _, w), probability in zip(evidence.starts.tolist(), evidence.probabilities[:, 1].tolist(), strict=True):
        by_hand[:, :, w : w + 8] += probability
        counts[:, :, w : w + 8] += 1
    torch.testing.assert_close(evidence.map(1)(), by_hand / counts)


@torch.no_grad()
@torch.no_grad()
def test_mirror_images_count_as_much_as_the_volume() -> None:
    torch.manual_seed(0)
    network, volume = small_network(), torch.rand(1, 1, 8, 9, 10)
    said = [network(one).softmax(1)[0] for one in (volume, volume.flip(2), volume.flip(4))]
    torch.testing.assert_close(WindowInferer(None, flips=(0, 2))(volume, network)[0], torch.stack(said).mean(0))


def test_sigmoid_treats_each_class_by_itself() -> None:
    network, volumes = small_network(), torch.randn(2, 1, 16, 16, 16)
    result = WindowInferer(16, activation="sigmoid")(volumes, network)
    torch.testing.assert_close(result, network(volumes).sigmoid(), atol=1e-6, rtol=0)


@torch.no_grad()
def test_windows_go_to_the_networks_device_and_type() -> None:
    seen = []

    class Recorder(MeanLogits):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((type(x), len(x)))
            return super().forward(x)

    volume = MetaTensor(torch.rand(1, 1, 8, 8, 20))
    result = WindowInferer(8, overlap=0, sw_batch_size=2)(volume, Recorder())
    assert seen == [(Tensor, 2), (Tensor, 1)]
    assert type(result) is Tensor
    assert result.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flips": [0, 3]}, r"flips must be different axes of 0, 1 and 2, got \[0, 3\]"),
        ({"flips": [1, 1]}, "flips must be different axes"),
        ({"overlap": 1.0}, "overlap must lie in 0 <= overlap < 1, got 1.0"),
        ({"overlap": (0.5, -0.1, 0.5)}, "overlap must lie in"),
        ({"sw_batch_size": 0}, "sw_batch_size must be at least 1 window, got 0"),
        ({"activation": "relu"}, "activation must be 'softmax' or 'sigmoid' or 'identity', got 'relu'"),
        ({"activation": "sigmoid", "negative_class": 0}, "needs classes that exclude each other"),
    ],
)
def test_what_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(CrossDError, match=message):
        WindowInferer(8, **arguments)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Identity(), r"must return logits \(windows, classes\), 1 windows here, got \(1, 1, 8, 8, 8\)"),
        (lambda x: [x], "must return logits .*, got list"),
        (lambda x: torch.full((len(x), 2), float("nan")), "logits must be finite"),
    ],
)
def test_networks_that_are_no_classifiers(network: object, message: str) -> None:
    with pytest.raises(CrossDError, match=message):
        WindowInferer(8)(torch.rand(1, 1, 8, 8, 8), network)  # type: ignore[arg-type]


def test_windows_of_one_volume_at_a_time() -> None:
    with pytest.raises(CrossDError, match=r"takes one volume .* got shape \(2, 1, 8, 8, 8\)"):
        WindowInferer(8).windows(torch.rand(2, 1, 8, 8, 8), MeanLogits())


def test_one_pad_value_per_channel() -> None:
    with pytest.raises(CrossDError, match="one number or one per channel, got 3 for 2 channels"):
        WindowInferer(8, pad_value=[0, 0, 0]).windows(torch.rand(1, 2, 4, 8, 8), MeanLogits())


def test_a_map_of_a_class_that_does_not_exist() -> None:
    evidence = WindowEvidence(torch.tensor([[0.9, 0.1]]), torch.tensor([[0]]), (4,), (4,), (0,))
    with pytest.raises(CrossDError, match="index of a class, 0 to 1, got 2"):
        evidence.map(2)()


@torch.no_grad()
@pytest.mark.parametrize("aggregate", ["mean", "max", "top_k", "noisy_or"])
@pytest.mark.parametrize("background", [0.0, -1.2, [-1.2, 0.3]])
def test_skipping_background_changes_nothing(aggregate: str, background: float | list[float]) -> None:
    network = small_network(2)
    volume = torch.empty(1, 2, 40, 24, 33)
    volume[:] = torch.as_tensor(background).expand(2)[None, :, None, None, None]
    volume[:, 1, 20:22, 5, 9] = 1.0  # seen by some windows only, in one channel
    passed = []

    def counting(x: Tensor) -> Tensor:
        passed.append(len(x))
        return network(x)

    options = {"overlap": 0.5, "aggregate": aggregate, "pad_value": background}
    every = WindowInferer(12, **options).windows(volume, network)  # type: ignore[arg-type]
    some = WindowInferer(12, **options, skip_background=True).windows(volume, counting)  # type: ignore[arg-type]
    assert 1 < sum(passed) < len(every) // 2
    assert torch.equal(some.starts, every.starts)
    torch.testing.assert_close(some.probabilities, every.probabilities, rtol=0, atol=1e-6)
    torch.testing.assert_close(some.aggregate(), every.aggregate(), rtol=0, atol=1e-6)
    torch.testing.assert_close(some.map(1)(), every.map(1)(), rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_window_is_background_only_where_every_voxel_is() -> None:
    volume = torch.zeros(1, 1, 32, 8, 8)
    volume[..., 12, 4, 4] = 1e-3  # one voxel, and hardly brighter
    seen = []

    def recorder(x: Tensor) -> Tensor:
        seen.extend(x.amax((1, 2, 3, 4)).tolist())
        return MeanLogits()(x)

    WindowInferer(8, overlap=0, skip_background=True).windows(volume, recorder)
    assert seen == pytest.approx([0, 1e-3])  # all of the background at once, and the window with the voxel
    seen.clear()
    WindowInferer(8, overlap=0).windows(volume, recorder)
    assert len(seen) == 4  # by default every window


@torch.no_grad()
def test_several_volumes_share_batches() -> None:
    network = small_network()
    volumes = [torch.randn(1, 1, *shape) for shape in ((16, 16, 16), (5, 16, 20), (30, 17, 16), (16, 9, 16))]
    inferer, sizes = WindowInferer(16, overlap=0.5, sw_batch_size=4), []

    def counting(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return network(x)

    together = inferer.windows_of(volumes, counting)
    assert sizes == [4, 4, 2]
    for volume, evidence in zip(volumes, together, strict=True):
        alone = inferer.windows(volume, network)
        assert torch.equal(evidence.starts, alone.starts)
        assert (evidence.shape, evidence.before) == (alone.shape, alone.before)
        torch.testing.assert_close(evidence.probabilities, alone.probabilities, rtol=0, atol=1e-6)
    assert inferer.windows_of([], network) == []


def test_a_thin_volume_that_padding_makes_too_large_is_refused():
    """A header with one spacing of metres and two of none leaves a line of voxels, which a window pads to gigabytes."""
    with pytest.raises(
        CrossDError, match=r"the volume' has, padded to the window, 280000 × 64 × 64 voxels, where \d+ in"
    ):
        WindowInferer((64, 64, 64))(torch.zeros(1, 1, 280000, 1, 1), lambda window: window)
