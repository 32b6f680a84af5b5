"""The law: balanced weights make each class contribute the same."""

from __future__ import annotations

import pytest
import torch
from crossd.errors import CrossDError
from crossd.training.loss import balanced_weights, classification_loss


def test_every_class_contributes_the_same():
    labels = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)
    weights = balanced_weights(labels.tolist(), 3, "multiclass")
    torch.testing.assert_close(weights * torch.bincount(labels), torch.full((3,), 100 / 3))


def test_the_loss_of_a_know_nothing_does_not_depend_on_the_class_sizes():
    for counts in ([70, 20, 10], [10, 10, 10]):
        labels = [c for c, n in enumerate(counts) for _ in range(n)]
        loss = classification_loss(labels, ["a", "b", "c"], "multiclass")
        logits = torch.tensor([[2.0, 0.0, 0.0]]).expand(len(labels), 3)
        expected = -(logits[0].log_softmax(0)).mean()  # each class by a third
        torch.testing.assert_close(loss(logits, torch.tensor(labels)), expected)


def test_multilabel_positives_weigh_as_much_as_negatives():
    labels = [[1, 0], [0, 0], [0, 1], [0, 1], [0, 1]]
    weights = balanced_weights(labels, 2, "multilabel")
    torch.testing.assert_close(weights, torch.tensor([4.0, 2 / 3]))
    loss = classification_loss(labels, ["x", "y"], "multilabel")
    logits, targets = torch.randn(5, 2), torch.tensor(labels).float()
    torch.testing.assert_close(
        loss(logits, targets),
        torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=torch.tensor([4.0, 2 / 3])),
    )


def test_classes_without_cases_weigh_one():
    assert balanced_weights([0, 0], 2, "multiclass")[1] == 1
    assert balanced_weights([[1, 0], [1, 0]], 2, "multilabel").tolist() == [1, 1]


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, 0.0], "even", 3])
def test_bad_weights(weights):
    with pytest.raises(CrossDError, match=r"class_weights must be 'balanced', null or one positive number.*Example"):
        classification_loss([0, 1], ["a", "b"], "multiclass", weights)


def test_given_weights_and_none():
    logits, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    plain = classification_loss([0, 1], ["a", "b"], "multiclass", None)
    assert plain.weight is None
    assert classification_loss([0, 1], ["a", "b"], "multiclass", [3, 1]).weight.tolist() == [3, 1]
    torch.testing.assert_close(plain(logits, labels), torch.nn.functional.cross_entropy(logits, labels))


def test_smoothing_is_for_multiclass():
    assert classification_loss([0, 1], ["a", "b"], "multiclass", label_smoothing=0.1).label_smoothing == 0.1
    with pytest.raises(
        CrossDError, match=r"label_smoothing is for multiclass only, got 0\.1\. Pass --label_smoothing 0"
    ):
        classification_loss([[0, 1]], ["a", "b"], "multilabel", label_smoothing=0.1)
