"""What became of a damaged case, held against what is said of the good one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DEFECTS = ("lost", "unnamed", "crash", "time", "memory", "good cases changed")
_UNNAMED = re.compile(r"^\w*(Error|Exception|Warning|Interrupt)\b: ")  # an exception that nobody put into words


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged case.

    Attributes:
        source: the good case it was made from.
        kind: what was done to it.
        result: "same" answer as the good case; "warned": another answer and a warning; "changed": another one without;
            "refused" with a reason; "skipped": this damage cannot be done here; or one of `DEFECTS`.
        reason: what the user is told.
    """

    source: str
    kind: str
    result: str
    reason: str = ""


def same(rows: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]) -> bool:
    """Equal answers, in any order."""
    values, wanted = (sorted(json.dumps(row.get("probabilities")) for row in some) for some in (rows, expected))
    return values == wanted and all(row["status"] == "ok" for row in rows)


def judge(source: str, kind: str, rows: list[dict[str, Any]] | str, expected: list[dict[str, Any]]) -> Outcome:
    """The outcome of a damaged case.

    Args:
        source: name of the good case.
        kind: of damage.
        rows: of `predictions.json` about the damaged case; or how the run on it ended, one of `DEFECTS`.
        expected: the rows about the good case.

    >>> rows = [{"status": "failed", "reason": "A file must be whole.", "warnings": []}]
    >>> judge("scan", "truncated", rows, []).result, judge("scan", "truncated", "time", []).result
    ('refused', 'time')
    """
    if isinstance(rows, str):
        return Outcome(source, kind, rows)
    told = "; ".join(str(row["reason"]) for row in rows if row["status"] != "ok")
    warned = "; ".join(warning for row in rows for warning in row.get("warnings") or [])
    numbers = [value for row in rows for value in (row.get("probabilities") or {}).values()]
    if not rows:
        return Outcome(source, kind, "lost")
    if any(not row["reason"] or _UNNAMED.match(row["reason"]) for row in rows if row["status"] != "ok"):
        return Outcome(source, kind, "unnamed", told)
    if not np.isfinite(numbers).all():
        return Outcome(source, kind, "unnamed", f"probabilities {numbers} under status ok")
    if told:
        return Outcome(source, kind, "refused", told)
    answers = [row.get("probabilities") for row in rows]
    if all(row["probabilities"] in answers for row in expected):  # of a second series in the folder, more
        return Outcome(source, kind, "same", warned)
    return Outcome(source, kind, "warned" if warned else "changed", warned)
