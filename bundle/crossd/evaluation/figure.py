"""A figure with its interval, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval, where there is one.

    >>> str(Figure(0.9, 0.85, 0.94)), Figure(0.05, None, None).signed
    ('0.90 (95 % 0.85 to 0.94)', '+0.05 (no interval)')
    """

    value: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, report: Mapping[str, Any], name: str = "auc") -> Figure:
        """One of what `crossd.evaluation.evaluate` returned."""
        entry = report["metrics"][name]
        return cls(float("nan") if entry["value"] is None else entry["value"], entry["low"], entry["high"])

    def text(self, digits: str) -> str:
        """With each number as a format says, such as ".4g"."""
        interval = "no interval" if self.low is None else f"95 % {self.low:{digits}} to {self.high:{digits}}"
        return f"{self.value:{digits}} ({interval})"

    def __str__(self) -> str:
        return self.text(".2f")

    @property
    def signed(self) -> str:
        """As a difference."""
        return self.text("+.2f")
