"""Nothing is measured on what it was chosen by: labels without meaning give chance, whatever is tried."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crossd.evaluation.metrics import class_aucs
from crossd.probe.choosing import Labelled, Recipe, each_and_all
from crossd.probe.outcomes import outcome_of
from sklearn.metrics import log_loss, r2_score

QUICK = Recipe(repeats=1, folds=3, strengths=(1e-3, 1.0))


def cases(count=90, informative=0.0, classes=2, per_patient=1, seed=0):
    rng = np.random.default_rng(seed)
    label = (np.arange(count) // per_patient) % classes
    sets = {name: rng.normal(size=(count, 40)) for name in ("noise", "other")}
    sets["signal"] = rng.normal(size=(count, 5)) + informative * np.eye(5)[label]
    return Labelled(sets, np.eye(classes)[label], [f"p{index // per_patient}" for index in range(count)])


def auc(probabilities, labelled):
    return np.mean(class_aucs(torch.from_numpy(probabilities), torch.from_numpy(labelled.targets)))


@pytest.mark.slow
def test_labels_without_meaning_give_chance():
    found = []
    for seed in range(3):
        labelled = cases(60, seed=seed)
        probabilities, choices = QUICK.nested(labelled, {"probe": each_and_all([*labelled.sets])})["probe"]
        assert len(choices) == 3
        found.append(auc(probabilities, labelled))
    assert abs(np.mean(found) - 0.5) < 3 * 0.075 / np.sqrt(3), "0.075: the standard error of one"


def test_a_signal_is_found_and_its_set_chosen():
    labelled = cases(informative=3.0)
    probabilities, choices = QUICK.nested(labelled, {"probe": each_and_all([*labelled.sets])})["probe"]
    assert auc(probabilities, labelled) > 0.9
    assert {choice.candidate.name for choice in choices} == {"signal"}
    assert max(choices[0].scores, key=choices[0].scores.get) == "signal"


def test_the_usual_candidate_stays_unless_another_one_is_clearly_ahead():
    """A better set that is found by many cases is not told from luck by few."""
    many, few = cases(600, informative=0.6), cases(30, informative=0.6)
    several = each_and_all([*many.sets], usual=True)
    assert [one.name for one in several if one.usual] == ["noise + other + signal"]
    assert QUICK.choose(many, {"probe": several})["probe"].candidate.name == "signal"
    chosen = QUICK.choose(few, {"probe": several})["probe"]
    assert max(chosen.scores, key=chosen.scores.get) == "signal"
    assert chosen.candidate.usual
    assert QUICK.choose(few, {"probe": each_and_all([*few.sets])})["probe"].candidate.name == "signal"


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_scores_of_cases_have_the_mean_that_scikit_learn_says(task):
    rng = np.random.default_rng(0)
    outcome, outputs = outcome_of(task), rng.normal(size=(40, 1 if task == "regression" else 3))
    if task == "regression":
        targets = rng.normal(size=(40, 1))
        expected = r2_score(targets, outputs)
    elif task == "multilabel":
        targets = (rng.random((40, 3)) < 0.3).astype(float)
        expected = -np.mean(
            [log_loss(t, p, labels=[0, 1]) for t, p in zip(targets.T, outcome.answers(outputs).T, strict=True)]
        )
    else:
        label = rng.choice(3, 40, p=[0.6, 0.3, 0.1])
        targets, weight = np.eye(3)[label], 1 / np.bincount(label)[label]
        expected = -log_loss(label, outcome.answers(outputs), sample_weight=weight)
    assert outcome.scores(outputs, targets).shape == (40,)
    assert outcome.scores(outputs, targets).mean() == pytest.approx(expected)


def test_a_held_out_case_has_no_part_in_what_says_it():
    """Its label and features may be anything: the probabilities of its fold stay those of another training."""
    labelled = cases(informative=1.0)
    held_out = next(iter(QUICK.parts(labelled)))[1]
    groups = {"probe": each_and_all(["signal", "noise"])}
    before = QUICK.nested(labelled, groups)["probe"][0]
    for rows in labelled.sets.values():
        rows[held_out[0]] = 1000
    after = QUICK.nested(labelled, groups)["probe"][0]
    np.testing.assert_array_equal(before[held_out[1:]], after[held_out[1:]])
    assert not np.allclose(before, after)


def test_patients_stay_together_and_classes_apart():
    labelled = cases(60, classes=3, per_patient=4)
    for training, held_out in QUICK.parts(labelled):
        assert not {labelled.patients[i] for i in training} & {labelled.patients[i] for i in held_out}
        assert (labelled.targets[training].sum(0) > 0).all()


def test_there_are_as_many_folds_as_the_rarest_class_has_patients():
    labelled, recipe = cases(90), Recipe()
    few = labelled.take([*range(0, 60, 2), 1, 3, 5])
    assert (recipe.fold_count(labelled), recipe.fold_count(few)) == (5, 3)
    assert len([*recipe.parts(few)]) == 3


def test_a_group_is_chosen_as_if_it_were_alone():
    labelled = cases(informative=1.0)
    groups = {"all": each_and_all([*labelled.sets]), "signal": each_and_all(["signal"])}
    together = QUICK.choose(labelled, groups)
    for name, group in groups.items():
        assert QUICK.choose(labelled, {name: group})[name] == together[name]


def test_components_come_from_cases_without_labels():
    labelled = cases(informative=2.0)
    pools = {name: np.random.default_rng(5).normal(size=(50, rows.shape[1])) for name, rows in labelled.sets.items()}
    candidates = each_and_all(["signal", "noise"], pools, 4)
    assert [one.name for one in candidates][3:] == [
        "signal, components",
        "noise, components",
        "signal + noise, components",
    ]
    fit = QUICK.fit(labelled, {"probe": [candidates[3]]})["probe"]
    assert fit.head.weight.shape == (2, 5), "of features, not of components"
    assert auc(QUICK.probabilities(fit.logits(labelled)), labelled) > 0.8


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_probabilities(task):
    recipe = Recipe(task=task)
    logits = np.array([[1000.0, 0.0], [-1.0, 1.0]])
    found = recipe.probabilities(logits)
    assert np.isfinite(found).all()
    assert found[0, 0] == 1
    if task == "multiclass":
        np.testing.assert_allclose(found.sum(1), 1)
