"""Long gradients are shortened, short ones stay, and a step that would undo a run does not."""

from __future__ import annotations

import pytest
import torch
from crossd.errors import CrossDError
from crossd.training import GradientClip
from monai.engines import SupervisedTrainer


def trained(max_norm, scale, steps=1):
    """A linear layer after steps of rate 1 on data of a size, and the norm of the last step's gradient."""
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    data = [{"image": scale * torch.ones(2, 4), "label": torch.zeros(2, 1)}] * steps
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=data,
        network=network,
        optimizer=optimizer,
        loss_function=torch.nn.MSELoss(),
        train_handlers=[GradientClip(optimizer, max_norm)],
        decollate=False,
    )
    trainer.logger.setLevel("ERROR")
    trainer.run()
    return network, torch.cat([value.grad.flatten() for value in network.parameters()]).norm().item()


def test_long_gradients_get_the_norm_and_short_ones_stay():
    assert trained(None, 10.0)[1] > 100
    assert trained(0.5, 10.0)[1] == pytest.approx(0.5, abs=1e-5)
    plain, short = trained(None, 0.01), trained(1000.0, 0.01)
    assert plain[1] == short[1]
    torch.testing.assert_close(plain[0].state_dict(), short[0].state_dict(), rtol=0, atol=0)


def test_a_run_that_comes_apart_does_not():
    apart, kept = trained(None, 10.0, 30)[0], trained(1.0, 10.0, 30)[0]
    assert not apart.weight.isfinite().all() or apart.weight.abs().max() > 1e6
    assert kept.weight.abs().max() < 2


class Scaler:
    """What MONAI's trainer does on a GPU, in small: gradients are multiplied until they are unscaled."""

    def __init__(self):
        self.unscaled = []

    def unscale_(self, optimizer):
        self.unscaled.append(optimizer)
        for group in optimizer.param_groups:
            for value in group["params"]:
                value.grad /= 1024


def test_mixed_precision_is_unscaled_first():
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = 1024 * torch.tensor([0.3, 0.4])
    optimizer = torch.optim.SGD([weight], lr=1.0)
    engine = type("Engine", (), {"amp": True, "scaler": Scaler()})()
    GradientClip(optimizer, 1.0)(engine)
    torch.testing.assert_close(weight.grad, torch.tensor([0.3, 0.4]))


@pytest.mark.parametrize("norm", [0, -1.0, float("nan")])
def test_a_norm_is_above_zero(norm):
    with pytest.raises(CrossDError, match=r"max_grad_norm must be above 0, or null; got"):
        GradientClip(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0), norm)
