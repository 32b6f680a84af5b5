"""What a task means: what a network's outputs are called, and what makes its answers of them. All else asks here."""

from __future__ import annotations

from dataclasses import dataclass

REGRESSION = "regression"
ORDINAL = "ordinal"


@dataclass(frozen=True)
class Task:
    """A task with one answer a volume.

    Attributes:
        fewest: names that a card has at least: of classes, or of the one target of a regression.
        activation: what makes answers of the network's outputs: "softmax" or "sigmoid", probabilities of classes; or
            "identity", values in the target's unit.
        ordered: whether the names are grades, the lowest first, so that one may be further off than another.
    """

    fewest: int
    activation: str
    ordered: bool = False

    @property
    def exclusive(self) -> bool:
        """Whether exactly one of the names is true of a volume."""
        return self.activation == "softmax"

    @property
    def classifies(self) -> bool:
        """Whether answers are probabilities of classes."""
        return self.activation != "identity"


TASKS = {
    "multiclass": Task(2, "softmax"),
    "multilabel": Task(1, "sigmoid"),
    REGRESSION: Task(1, "identity"),
    ORDINAL: Task(3, "softmax", ordered=True),
}
"""By the `task` of a card."""
CLASSIFICATION = tuple(name for name, task in TASKS.items() if task.classifies)


def task_of(name: str | None) -> Task:
    """That of a card's `task`; None and what is no task of volumes are an old card's one, of exclusive classes.

    >>> task_of("multilabel").activation, task_of(None).exclusive
    ('sigmoid', True)
    """
    return TASKS.get(name or "multiclass", TASKS["multiclass"])
