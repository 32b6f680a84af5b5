"""What a card does to the answer that a network gives to the image of a case, before it is that of the case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from crossd.cards.covariates import Covariates
from crossd.cards.isotonic import Isotonic

After = Callable[[Tensor, Mapping[str, str] | None], Tensor]


def after_image(card: Mapping[str, Any]) -> After | None:
    """Joins the columns of the table (`Covariates`) and calibrates (`Isotonic`), where the card says so.

    Returns:
        From probabilities, or the number, `(outputs,)` and the case's cells by column to the answer; None where the
        network says all.

    >>> after_image({"task": "multiclass", "class_names": ["a", "b"]}) is None
    True
    """
    covariates, isotonic = Covariates.of(card), Isotonic.of(card)
    if covariates is None and isotonic is None:
        return None

    def after(said: Tensor, row: Mapping[str, str] | None = None) -> Tensor:
        joined = said if covariates is None else covariates.joined(said, row)
        return joined if isotonic is None else isotonic(joined)

    return after


def beside_network(card: Mapping[str, Any]) -> str:
    """What else than the network says the answer, in words; empty where it says all.

    >>> beside_network({"covariates": {"columns": {"age": None}}})
    'the columns age'
    """
    columns = (card.get("covariates") or {}).get("columns")
    return f"the columns {', '.join(columns)}" if columns else "isotonic calibration" if card.get("isotonic") else ""
