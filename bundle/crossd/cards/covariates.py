"""What a model takes from a table beside the image, as the entry `covariates` of its card: age, sex and the like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossd.cards.tasks import task_of
from crossd.errors import CrossDError

LEAST = 1e-30  # probability, so that its logarithm is finite
Columns = Mapping[str, Sequence[str] | None]
_Rule = Callable[[str, Any, bool, str], None]


@dataclass(frozen=True)
class Covariates:
    r"""Adds to the logits of an image $W (x - m)$, of the figures $x$ of its row: what the regression of a probe made
    of columns beside views. The logits of the network alone are those of a case with the mean figures $m$.

    Attributes:
        task: of the card.
        columns: by name None for numbers, or the values of a text, each of which is a figure, 0 or 1.
        mean: of each figure in training.
        coefficients: `(outputs, figures)`.
        image: what the table of the probe called the column `image`, or those of the channels.

    >>> given = {"sex": ["F", "M"], "age": None}
    >>> of = Covariates("multiclass", given, [0.5, 0.5, 60.0], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.1]])
    >>> of.joined(torch.tensor([0.5, 0.5]).double(), {"sex": "M", "age": "70"}).round(decimals=3).tolist()
    [0.269, 0.731]
    """

    task: str
    columns: Columns
    mean: Sequence[float]
    coefficients: Sequence[Sequence[float]]
    image: Sequence[str] = ("image",)

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Covariates | None:
        """Those of a card that keeps the rules; None where the image is all that its model takes."""
        entry = card.get("covariates")
        return None if entry is None else cls(card["task"], **entry)

    def joined(self, said: Tensor, row: Mapping[str, str] | None) -> Tensor:
        """The answer of a case: probabilities, or the number, that the image alone had, and its row of the table.

        Args:
            said: `(outputs,)`.
            row: cells by column.

        Raises:
            CrossDError: for a row that lacks a value, or has one that is not known.
        """
        figures = np.array(figures_of(self.columns, row or {})) - np.array(self.mean)
        more = torch.from_numpy(np.array(self.coefficients) @ figures)
        if task_of(self.task).activation == "softmax":
            return (said.double().clamp(min=LEAST).log() + more).softmax(0).to(said)
        if task_of(self.task).activation == "sigmoid":
            return (said.double().logit(1e-12) + more).sigmoid().to(said)
        return (said.double() + more).to(said)

    def entry(self) -> dict[str, Any]:
        """The card's entry, plain JSON."""
        columns = {name: None if values is None else list(values) for name, values in self.columns.items()}
        table = [[float(value) for value in row] for row in self.coefficients]
        mean = [float(value) for value in self.mean]
        return {"columns": columns, "mean": mean, "coefficients": table, "image": list(self.image)}


def columns_of(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> Columns:
    """What columns hold: None for one of numbers, else its different texts.

    >>> columns_of([{"age": "60,5", "sex": "M"}, {"age": "52", "sex": "F"}], ["age", "sex"])
    {'age': None, 'sex': ['F', 'M']}
    """

    def texts(name: str) -> list[str] | None:
        found = sorted({row[name] for row in rows})
        return None if all(_number(cell) is not None for cell in found) else found

    return {name: texts(name) for name in names}


def figures_of(columns: Columns, row: Mapping[str, str]) -> list[float]:
    """The figures of a row of a table.

    Raises:
        CrossDError: for a cell that is missing or empty, no number, or a text that the columns do not have.
    """
    found: list[float] = []
    for name, values in columns.items():
        cell = row.get(name, "").strip()
        number = _number(cell)
        if not cell or (values is None and number is None) or (values is not None and cell not in values):
            expected = "a number" if values is None else f"one of {', '.join(map(repr, values))}"
            raise CrossDError(
                f"The model needs a value of {name!r}, {expected}; got {repr(cell) if cell else 'nothing'}. Fill the "
                "cell in the table of --covariates."
            )
        found += [number or 0.0] if values is None else [float(cell == value) for value in values]
    return found


def _number(cell: str) -> float | None:
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def check_covariates(entry: Any, outputs: int, rule: _Rule) -> None:
    """Refuse an entry that `Covariates.of` could not take.

    Args:
        entry: `covariates` of a card.
        outputs: of its network.
        rule: of `crossd.cards.rules`: entry, value, whether it is kept, and what it should be.
    """
    parts = {"columns", "mean", "coefficients", "image"}
    whole = isinstance(entry, dict) and {*entry} == parts
    rule("covariates", entry, whole, f"a dictionary of {', '.join(sorted(parts))}, as a probe writes it")
    columns, image = entry["columns"], entry["image"]
    kept = isinstance(columns, dict) and all(value is None or _texts(value) for value in columns.values())
    rule("covariates.columns", columns, kept, "null for a number, or a list of texts, by column")
    rule("covariates.image", image, _texts(image), "a list of texts, the names of the image columns")
    count = sum(1 if values is None else len(values) for values in columns.values())
    rule("covariates.mean", entry["mean"], _numbers(entry["mean"], count), f"{count} numbers, one a figure")
    table = entry["coefficients"]
    kept = isinstance(table, list) and len(table) == outputs and all(_numbers(row, count) for row in table)
    rule("covariates.coefficients", table, kept, f"{outputs} lists of {count} numbers, one list an output")


def _texts(values: Any) -> bool:
    return isinstance(values, list) and len(values) > 0 and all(isinstance(value, str) for value in values)


def _numbers(values: Any, count: int) -> bool:
    plain = isinstance(values, list) and len(values) == count
    return plain and all(type(value) in (int, float) and abs(value) < 1e300 for value in values)
