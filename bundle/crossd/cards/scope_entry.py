"""The entry `scope` of a card: plain JSON of a `Scope`, and what it has to be."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from crossd.cards.gaussian import Gaussian
from crossd.cards.scope import FIGURES, GAUSSIANS, QUANTILE, Scope

_Rule = Callable[[str, Any, bool, str], None]


def entry_of_scope(scope: Scope) -> dict[str, Any]:
    """The card's entry; arrays are base64 of their little-endian bytes.

    >>> rng = np.random.default_rng(0)
    >>> cases = [{"features": row, "spacing": np.zeros(3)} for row in rng.normal(size=(300, 4))]
    >>> scope = Scope.fit(cases[:200], cases[200:])
    >>> scope_of({"scope": entry_of_scope(scope)}).judge(cases[0]) == scope.judge(cases[0])
    True
    """
    gaussians = {
        name: {part: _encoded(values) for part, values in gaussian.arrays().items()}
        for name, gaussian in scope.gaussians.items()
    }
    return {
        "cases": list(scope.cases),
        "quantile": QUANTILE,
        "limit": scope.limit,
        "limits": dict(scope.limits),
        "modalities": list(scope.modalities),
        "figures": {name: _encoded(np.stack([scope.means[name], scope.spreads[name]])) for name in scope.means},
        **{name: gaussians.get(name) for name in GAUSSIANS},
        "scores": _encoded(scope.scores),
    }


def scope_of(card: Mapping[str, Any]) -> Scope | None:
    """That of a card that keeps the rules; None for one without."""
    entry = card.get("scope")
    if entry is None:
        return None
    figures = {name: _decoded(coded) for name, coded in entry["figures"].items()}
    return Scope(
        cases=tuple(entry["cases"]),
        modalities=tuple(entry["modalities"]),
        means={name: both[0] for name, both in figures.items()},
        spreads={name: both[1] for name, both in figures.items()},
        gaussians={
            name: Gaussian(**{part: _decoded(coded) for part, coded in entry[name].items()})
            for name in GAUSSIANS
            if entry.get(name) is not None
        },
        limits=entry["limits"],
        scores=_decoded(entry["scores"]),
        limit=entry["limit"],
    )


def check_scope(entry: Any, rule: _Rule) -> None:
    """Refuse an entry that `scope_of` could not take.

    Args:
        entry: `scope` of a card.
        rule: of `crossd.cards.rules`: entry, value, whether it is kept, and what it should be.
    """
    rule("scope", _names(entry), isinstance(entry, dict), "a dictionary, as training writes it")
    whole = entry.get("cases")
    kept = isinstance(whole, list) and len(whole) == 2 and all(type(n) is int and n > 0 for n in whole)
    rule("scope.cases", whole, kept, "the numbers of training and validation cases")
    rule("scope.quantile", entry.get("quantile"), entry.get("quantile") == QUANTILE, f"{QUANTILE}")
    rule("scope.limit", entry.get("limit"), _positive(entry.get("limit")), "a positive number")
    limits, names = entry.get("limits"), entry.get("modalities")
    kept = isinstance(limits, dict) and all(map(_positive, limits.values())) and {*limits} <= {*FIGURES, *GAUSSIANS}
    rule("scope.limits", limits, kept, f"positive numbers by part ({', '.join([*FIGURES, *GAUSSIANS])})")
    kept = isinstance(names, list) and all(isinstance(name, str) for name in names)
    rule("scope.modalities", names, kept, "a list of texts")
    figures = entry.get("figures")
    kept = isinstance(figures, dict) and {*figures} <= {*FIGURES}
    rule("scope.figures", _names(figures), kept, f"a dictionary of {', '.join(FIGURES)}")
    for name, coded in figures.items():
        both = _array(f"scope.figures.{name}", coded, rule)
        kept = both.ndim == 2 and len(both) == 2 and both.size > 0 and bool((both[1] > 0).all())
        rule(f"scope.figures.{name}", list(both.shape), kept, "means and positive standard deviations, (2, values)")
    for part in GAUSSIANS:
        coded = entry.get(part)
        if coded is None:
            continue
        kept = isinstance(coded, dict) and {*coded} == {*Gaussian.NAMES}
        rule(f"scope.{part}", _names(coded), kept, f"a dictionary of {', '.join(Gaussian.NAMES)}, or null")
        arrays = {name: _array(f"scope.{part}.{name}", values, rule) for name, values in coded.items()}
        wrong = Gaussian.fault(arrays)
        rule(f"scope.{part}", {name: list(a.shape) for name, a in arrays.items()}, wrong is None, str(wrong))
    scores = _array("scope.scores", entry.get("scores"), rule)
    kept = scores.shape == (whole[1],) and bool((np.diff(scores) >= 0).all())
    rule("scope.scores", list(scores.shape), kept, f"the {whole[1]} scores of the validation cases, ascending")


def _names(entry: Any) -> Any:
    return list(entry) if isinstance(entry, dict) else entry


def _array(name: str, coded: Any, rule: _Rule) -> np.ndarray:
    try:
        values = _decoded(coded)
    except (TypeError, KeyError, ValueError):
        values = None
    shown = coded if values is None or not isinstance(coded, dict) else {**coded, "base64": "…"}
    kept = values is not None and bool(np.isfinite(values).all())
    rule(name, shown, kept, "finite numbers as {dtype, shape, base64}")
    assert values is not None
    return values


def _encoded(values: np.ndarray) -> dict[str, Any]:
    kind = values.dtype.newbyteorder("<")
    text = base64.b64encode(values.astype(kind).tobytes()).decode("ascii")
    return {"dtype": values.dtype.name, "shape": list(values.shape), "base64": text}


def _decoded(coded: Mapping[str, Any]) -> np.ndarray:
    kind = {"float16": "<f2", "float32": "<f4"}[coded["dtype"]]
    values = np.frombuffer(base64.b64decode(coded["base64"], validate=True), kind).reshape(coded["shape"])
    return values.astype(np.float32)


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
