"""The student starts as the 3D side, learns alone, and sees whole volumes of its size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crossd.distillation import PrepareVolumes, Student, explained_metrics
from crossd.networks import MultiView
from crossd.probe.linear import Components
from ignite.engine import Engine


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MultiView(3, 1, 2, backbone={"depth": 10, "width": 4, "view": "projection"}, image_size=16).eval()


@pytest.fixture
def taught(network):
    """A student, volumes, and what the 2D side gives for them."""
    volumes = torch.rand(6, 1, 16, 16, 16) * torch.linspace(0.2, 3, 6).reshape(-1, 1, 1, 1, 1)
    with torch.no_grad():
        features = torch.cat([*network.view_features(volumes).values()][:2], 1)
    components = Components.fit(features.double().numpy(), 4)
    scale = float(components(features.double().numpy()).var(0).mean() ** 0.5)
    return Student(network, components, scale), volumes, features


def test_targets_are_the_components_with_mean_0_and_variance_1_on_average(taught):
    student, _, features = taught
    targets = student.targets(features)
    assert targets.shape == (6, 4)
    torch.testing.assert_close(targets.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    assert targets.var(0, correction=0).mean() == pytest.approx(1, rel=1e-3)


def test_the_student_starts_as_the_3d_side_and_the_2d_side_never_moves(taught, network):
    student, volumes, features = taught
    with torch.no_grad():
        torch.testing.assert_close(
            student.eval().volume.pooled_features(volumes), network.volume.pooled_features(volumes)
        )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    targets, losses = student.targets(features), []
    optimizer = torch.optim.Adam(student.train().parameters(), lr=0.01)
    for _ in range(25):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(student(volumes), targets)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_smaller_volumes_of_a_batch_lie_in_the_middle_of_background(taught):
    student, _, features = taught
    items = [{"image": torch.ones(1, *size), "features": features[0]} for size in ((16, 16, 16), (16, 8, 12))]
    inputs, targets = PrepareVolumes(student, 16, {"spacing": None}, background=-1.0)(items)
    assert inputs[1, 0].min() == -1
    assert [int((inputs[1, 0] > 0).any((*axes,)).sum()) for axes in ((1, 2), (0, 2), (0, 1))] == [16, 8, 12]
    assert bool((inputs[1, 0, 0, 4:12, 2:14] == 1).all())
    torch.testing.assert_close(targets[0], targets[1])


def test_spacing_makes_voxels_cubic(taught):
    student, _, features = taught
    prepare = PrepareVolumes(student, 16, {"spacing": [4.0, 1.0, 1.0]})
    assert prepare([{"image": torch.rand(1, 4, 16, 8), "features": features[0]}])[0].shape[2:] == (16, 16, 8)


def test_what_is_explained_is_1_for_the_teacher_and_0_for_its_mean():
    rng = np.random.default_rng(0)
    label = torch.from_numpy(rng.normal(size=(8, 3))).float()
    for share in (1.0, 0.0, 0.5):
        engine = Engine(lambda _, part: {"pred": part[0], "label": part[1]})
        for name, metric in explained_metrics().items():
            metric.attach(engine, name)
        state = engine.run([(share * label[:4], label[:4]), (share * label[4:], label[4:])])
        assert state.metrics["val_explained"] == pytest.approx(1 - (1 - share) ** 2)
        assert state.metrics["val_loss"] == pytest.approx(float(((1 - share) * label).square().sum(1).mean()), abs=1e-6)
