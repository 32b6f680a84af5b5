"""One temperature: what it may not change, what it repairs, and that few cases do not make it bold."""

from __future__ import annotations

import pytest
import torch
from crossd.evaluation.metrics import calibration_error, class_aucs
from crossd.inference.window_map import WindowEvidence
from crossd.training.calibration import calibrated, case_probabilities, fit_temperature


def evidence(logits, task="multiclass", windows=1):
    """Of cases that say these logits in each window."""
    said = logits.softmax(1) if task == "multiclass" else logits.sigmoid()
    place = torch.arange(windows)[:, None]
    return [WindowEvidence(row.repeat(windows, 1), place, (1,), (windows,), (0,)) for row in said.float()]


def drawn(cases, task, seed=0):
    """Logits that are three times too sure of targets drawn by them."""
    torch.manual_seed(seed)
    true = torch.randn(cases, 3)
    if task == "multilabel":
        return 3 * true, torch.bernoulli(true.sigmoid()).long()
    return 3 * true, torch.nn.functional.one_hot(torch.multinomial(true.softmax(1), 1)[:, 0], 3)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_it_finds_how_much_too_sure_a_model_is(task):
    """Beside torch's LBFGS on the logits, as in the code of Guo et al.; Platt's rule counts little with many cases."""
    logits, targets = drawn(400, task)
    loss = (
        torch.nn.functional.cross_entropy
        if task == "multiclass"
        else torch.nn.functional.binary_cross_entropy_with_logits
    )
    temperature = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([temperature], max_iter=50)

    def closure():
        optimizer.zero_grad()
        value = loss(logits / temperature, targets.float())
        value.backward()
        return value

    optimizer.step(closure)
    found = fit_temperature(evidence(logits, task), targets, task)
    assert found == pytest.approx(temperature.item(), rel=0.05)
    assert found == pytest.approx(3, rel=0.2)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_head_says_what_the_temperature_says(task):
    logits, targets = drawn(60, task)
    state = {"fc.weight": logits.clone(), "fc.bias": torch.ones(3), "conv1.weight": torch.ones(2)}
    new, entry = calibrated(state, evidence(logits, task, windows=2), targets, task)
    scaled = evidence(new["fc.weight"], task)
    expected = case_probabilities(evidence(logits, task), task, entry["temperature"])
    torch.testing.assert_close(case_probabilities(scaled, task), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(new["conv1.weight"], state["conv1.weight"])
    assert entry["loss"]["after"] < entry["loss"]["before"]
    assert entry["calibration_error"]["after"] == pytest.approx(calibration_error(expected, targets, task), abs=1e-3)


def test_it_keeps_the_order_of_cases_and_their_answers():
    logits, targets = drawn(80, "multiclass")
    two, one_hot = logits[:, :2], torch.eye(2)[targets.argmax(1).clamp(max=1)].long()
    before, after = (case_probabilities(evidence(two), "multiclass", t) for t in (1.0, 2.5))
    assert class_aucs(after, one_hot) == pytest.approx(class_aucs(before, one_hot))
    assert torch.equal(after.argmax(1), before.argmax(1))


def test_a_few_right_answers_do_not_make_a_model_sure_of_everything():
    logits = torch.tensor([[1.0, -1.0]] * 3 + [[-1.0, 1.0]] * 3)
    targets = torch.eye(2).repeat_interleave(3, 0).long()
    found = case_probabilities(evidence(logits), "multiclass", fit_temperature(evidence(logits), targets, "multiclass"))
    assert float(found.max()) == pytest.approx(4 / 5, abs=1e-3)  # (3 + 1) / (3 + 2)
