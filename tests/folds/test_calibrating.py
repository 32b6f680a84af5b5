"""What few folds lack alone they have together: a temperature, fitted without the cases that it is shown on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crossd.checkpoints import read_card, save_checkpoint
from crossd.evaluation import Predictions
from crossd.evaluation.metrics import negative_log_likelihood
from crossd.folds import join_models
from crossd.folds.calibrating import calibrated_across
from crossd.inference import network_from_card
from crossd.training import model_card


def predictions(patients=60, cases=2, sure=4.0, classes=3, task="multiclass", seed=0):
    """Of a model that says the truth's odds to the power of `sure`."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 1.5, (patients * cases, classes)))
    if task == "multilabel":
        targets = (torch.from_numpy(rng.random(logits.shape)) < logits.sigmoid()).long()
        said = (sure * logits).sigmoid()
    else:
        drawn = [rng.choice(classes, p=chances) for chances in logits.softmax(1).numpy()]
        targets, said = torch.eye(classes)[drawn].long(), (sure * logits).softmax(1)
    names = [str(number) for number in range(len(logits))]
    who = [f"p{number // cases}" for number in range(len(logits))]
    return Predictions(names, who, names, said, targets, [f"c{number}" for number in range(classes)], task)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_it_finds_how_much_too_sure_the_folds_were(task):
    given = predictions(task=task)
    after, entry = calibrated_across(given)
    assert entry["temperature"] == pytest.approx(4.0, rel=0.3)
    assert entry["cases"] == 120
    assert entry["loss"]["after"] == pytest.approx(negative_log_likelihood(after.probabilities, after.targets, task))
    assert entry["loss"]["after"] < 0.8 * entry["loss"]["before"]
    assert (after.cases, after.patients) == (given.cases, given.patients)


def test_a_patients_cases_have_no_part_in_their_own_temperature():
    given = predictions()
    before = calibrated_across(given)[0].probabilities
    given.targets[:2] = given.targets[:2].roll(1, 1)  # of patient p0
    after = calibrated_across(given)[0].probabilities
    fifth = [number for number in range(120) if (number // 2) % 5 == 0]
    torch.testing.assert_close(after[fifth], before[fifth], rtol=0, atol=0)
    others = [number for number in range(120) if number not in fifth]
    assert not torch.allclose(after[others], before[others], rtol=0, atol=1e-6)


def test_few_cases_give_none():
    assert calibrated_across(predictions(patients=8, cases=1)) is None


def test_the_joint_model_says_the_members_probabilities_at_that_temperature(tmp_path):
    network = {"spatial_dims": 3, "depth": 10, "width": 4}
    seen = {"channels": ["image"], "plane": "axial", "spacing": None, "roi_size": [16, 16, 16]}
    card = model_card("multiclass", ["a", "b"], network, {**seen, "intensity": {"mode": "range"}, "mean": 0, "std": 1})
    paths, members = [tmp_path / f"{number}.pt" for number in range(2)], []
    for number, path in enumerate(paths):
        torch.manual_seed(number)
        members.append(network_from_card(card).eval())
        save_checkpoint(path, members[-1], card)
    join_models(paths, tmp_path / "model.pt", {}, temperature=2.5)
    joint = network_from_card(read_card(tmp_path / "model.pt")).eval()
    joint.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True)["model"])
    volume = torch.rand(3, 1, 16, 16, 16)
    with torch.no_grad():
        expected = torch.stack([(member(volume) / 2.5).softmax(1) for member in members]).mean(0)
        torch.testing.assert_close(joint(volume).softmax(1), expected, atol=1e-5, rtol=1e-4)
