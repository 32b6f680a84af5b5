"""The table of the probe's benchmark, from its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LABELS = {0.1: "10 %", 1.0: "all"}


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row for each set, share of labels and contest; mean ± standard deviation over draws.

    >>> line = {"kind": "row", "set": "a", "fraction": 1.0, "seed": 0, "contest": "probe", "chosen": "volume"}
    >>> print(table([{**line, "test": {"auc": 0.9, "balanced_accuracy": 0.8}}]))
    | set, labels | what | AUC, test | balanced accuracy, test | AUC, unused training cases | chosen |
    |---|---|---|---|---|---|
    | a, all | **probe** | 0.900 | 0.800 | – | volume |
    """
    rows = [line for line in lines if line["kind"] == "row"]
    text = [
        "| set, labels | what | AUC, test | balanced accuracy, test | AUC, unused training cases | chosen |",
        "|---|---|---|---|---|---|",
    ]
    for name, fraction, contest in dict.fromkeys((row["set"], row["fraction"], row["contest"]) for row in rows):
        draws = [row for row in rows if (row["set"], row["fraction"], row["contest"]) == (name, fraction, contest)]
        chosen = dict.fromkeys(row["chosen"] for row in draws)
        counts = [f"{one} ({sum(row['chosen'] == one for row in draws)})" if len(chosen) > 1 else one for one in chosen]
        cells = [_mean(draws, "test", "auc"), _mean(draws, "test", "balanced_accuracy"), _mean(draws, "unused", "auc")]
        shown = f"**{contest}**" if contest in ("probe", "trivial") else contest
        said = ", ".join(counts) if contest in ("probe", "trivial") else ""
        text.append(f"| {name}, {LABELS.get(fraction, fraction)} | {shown} | {' | '.join(cells)} | {said} |")
    return "\n".join(text)


def _mean(draws: Sequence[Mapping[str, Any]], of: str, figure: str) -> str:
    values = [row[of][figure] for row in draws if of in row]
    if not values:
        return "–"
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")
