"""Every backend computes what the network computes, for whatever batches follow the first, or it is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from crossd.checkpoints import save_checkpoint
from crossd.conv import CrossDConv, set_alignment
from crossd.errors import CrossDError
from crossd.inference import (
    Accelerated,
    LoadWeights,
    accelerate,
    backends,
)
from crossd.inference.backends import fuse_batch_norm
from crossd.networks import CrossDResNet
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def trained(dims: int = 3, **options: object) -> CrossDResNet:
    """As if trained: batch norm and motions are not what they are at first, and logits are some units apart."""
    generator = torch.Generator().manual_seed(1)
    network = CrossDResNet(dims, in_channels=2, num_classes=3, depth=10, width=4, **options)  # type: ignore[arg-type]
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            size = (module.num_features,)
            module.running_mean = torch.randn(size, generator=generator) / 5
            module.running_var = torch.rand(size, generator=generator) + 0.5
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, std=0.2, generator=generator)
        if isinstance(module, CrossDConv) and module.running_motion is not None:
            module.running_motion.uniform_(-0.5, 0.5, generator=generator)
    with torch.no_grad():
        network.fc.weight.mul_(10)
    return network.eval()


def close(first: Tensor, second: Tensor) -> None:
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)


class TestEqualToEager:
    def test_batches_and_windows_of_any_size(self) -> None:
        network = trained()
        fast = accelerate(network, torch.randn(3, 2, 24, 21, 17), "torchscript")
        assert fast.chosen == "torchscript"
        for shape in [(3, 2, 24, 21, 17), (1, 2, 24, 21, 17), (4, 2, 24, 21, 17), (2, 2, 33, 16, 25)]:
            volumes = torch.randn(shape)
            expected = network(volumes)
            assert expected.abs().max() > 0.1
            close(fast(volumes), expected)

    def test_images(self) -> None:
        network = set_alignment(trained(2), "running")
        images = torch.randn(3, 2, 40, 33)
        close(accelerate(network, images, "torchscript")(images[:2]), network(images[:2]))

    def test_answers_are_repeatable_and_not_overwritten(self) -> None:
        network, volumes = trained(), torch.randn(2, 2, 24, 24, 24)
        fast, again = accelerate(network, volumes, "torchscript"), accelerate(network, volumes, "torchscript")
        first = fast(volumes)
        kept = first.clone()
        fast(-volumes)
        assert torch.equal(first, kept)
        assert torch.equal(fast(volumes), kept)
        assert torch.equal(again(volumes), kept)


def test_batch_norm_is_gone_and_the_network_unchanged() -> None:
    network, volumes = trained(alignment="raw"), torch.randn(2, 2, 16, 16, 16)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    plain = Accelerated(network).network
    fused = fuse_batch_norm(plain)
    assert [module for module in fused.modules() if isinstance(module, nn.BatchNorm3d)] == []
    close(fused(volumes), network(volumes))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert any(isinstance(module, nn.BatchNorm3d) for module in plain.modules())


class TestAuto:
    def test_it_takes_the_fastest_of_pytorch(self) -> None:
        network, volumes = trained(), torch.randn(2, 2, 16, 16, 16)
        fast = accelerate(network, volumes)
        assert fast.chosen == "torchscript"
        close(fast(volumes), network(volumes))

    def test_dynamic_kernels_run_eager(self) -> None:
        network, volumes = trained(alignment="dynamic"), torch.randn(2, 2, 16, 16, 16)
        fast = accelerate(network, volumes)
        assert fast.chosen == "eager"
        assert torch.equal(fast(volumes), network(volumes))

    def test_other_numbers_than_float32_run_eager(self) -> None:
        assert accelerate(trained().double(), torch.randn(2, 2, 16, 16, 16).double()).chosen == "eager"

    def test_it_falls_back_with_a_reason(self, caplog: pytest.LogCaptureFixture) -> None:
        volumes = torch.randn(2, 2, 8, 8, 8)
        fast = accelerate(Noise(), volumes)
        assert fast.chosen == "eager"
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert "'torchscript' must agree with the network" in record.getMessage()

    def test_it_falls_back_where_the_network_cannot_be_traced(self, caplog: pytest.LogCaptureFixture) -> None:
        fast = accelerate(Branches(), torch.ones(2, 2, 8, 8, 8))
        assert fast.chosen == "eager"
        assert "must be able to run the network, got TraceError" in caplog.text
        assert fast(-torch.ones(1, 2, 8, 8, 8)).tolist() == [[0.0]]

    def test_autocast_is_left_to_pytorch(self) -> None:
        network, volumes = trained(), torch.randn(2, 2, 16, 16, 16)
        fast = Accelerated(network)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(fast(volumes), fast.network(volumes))
        assert fast.chosen is None

    def test_a_batch_without_an_answer_decides_nothing(self) -> None:
        fast = Accelerated(trained())
        assert fast(torch.full((2, 2, 16, 16, 16), torch.nan)).isnan().all()
        assert fast.chosen is None
        fast(torch.randn(2, 2, 16, 16, 16))
        assert fast.chosen == "torchscript"


class Noise(nn.Module):
    """Never the same twice, so no runtime agrees with it."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3, 4)) + torch.randn_like(x[:, :, 0, 0, 0])


class Branches(nn.Module):
    """Looks at its input to decide what to do, which a trace cannot follow."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :1] if x.sum() > 0 else torch.zeros(len(x), 1)


class TestRefusals:
    def test_a_backend_that_computes_something_else(self) -> None:
        network = Accelerated(Noise(), "torchscript")
        volumes = torch.randn(2, 2, 8, 8, 8)
        message = (
            r"backend 'torchscript' must agree with the network to 1\.\de-04 on the first batch, got a difference of \d"
        )
        for _ in range(2):  # it stays refused
            with pytest.raises(CrossDError, match=message):
                network(volumes)

    @pytest.mark.parametrize("part", [0.5, 2.0])
    def test_a_backend_that_is_wrong_by_little(self, monkeypatch: pytest.MonkeyPatch, part: float) -> None:
        network, volumes = trained(), torch.randn(2, 2, 16, 16, 16)
        error = part * 1e-4 * float(network(volumes).abs().max())
        assert error > part * 1e-4  # so that the scale of the logits counts
        monkeypatch.setattr(backends, "torchscript", lambda plain, example: lambda inputs: (plain(inputs)[0] + error,))
        if part < 1:
            assert accelerate(network, volumes, "torchscript").chosen == "torchscript"
        else:
            with pytest.raises(CrossDError, match=f"got a difference of {error:.1e}"):
                accelerate(network, volumes, "torchscript")

    def test_a_network_it_cannot_run(self) -> None:
        message = "backend 'torchscript' must be able to run the network, got TraceError: .*: use backend 'eager'"
        with pytest.raises(CrossDError, match=message):
            accelerate(Branches(), torch.ones(2, 2, 8, 8, 8), "torchscript")

    def test_kernels_that_depend_on_the_input(self) -> None:
        with pytest.raises(CrossDError, match="got backend 'torchscript' for a network with alignment 'dynamic'"):
            Accelerated(trained(alignment="dynamic"), "torchscript")

    def test_an_unknown_backend(self) -> None:
        with pytest.raises(CrossDError, match=r"`backend` must be one of .*; got 'torchscrip'\. Did you mean"):
            Accelerated(trained(), "torchscrip")

    def test_an_example_without_an_answer(self) -> None:
        with pytest.raises(CrossDError, match="an example it answers with finite logits"):
            accelerate(trained(), torch.full((1, 2, 16, 16, 16), torch.inf))


class TestLoadWeights:
    @pytest.fixture
    def network(self, tmp_path: Path) -> CrossDResNet:
        save_checkpoint(tmp_path / "model.pt", trained())
        return CrossDResNet(3, in_channels=2, num_classes=3, depth=10, width=4)

    def test_the_evaluator_gets_the_accelerated_network(self, network: CrossDResNet, tmp_path: Path) -> None:
        engine = SimpleNamespace(amp=False, network=network)
        LoadWeights(str(tmp_path / "model.pt"), network, "torchscript")(engine)
        volumes = torch.randn(2, 2, 16, 16, 16)
        with torch.no_grad():
            close(engine.network(volumes), network.eval()(volumes))
        assert engine.network.chosen == "torchscript"
        assert len(list(engine.network.parameters())) > 10  # from which the inferer reads the device

    def test_amp_and_a_backend(self, network: CrossDResNet, tmp_path: Path) -> None:
        engine = SimpleNamespace(amp=True, network=network)
        LoadWeights(str(tmp_path / "model.pt"), network)(engine)
        assert isinstance(engine.network, Accelerated)
        with pytest.raises(CrossDError, match="got backend 'torchscript' with amp"):
            LoadWeights(str(tmp_path / "model.pt"), network, "torchscript")(engine)
