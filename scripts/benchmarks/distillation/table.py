"""The table of the benchmark, from its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

BASE = "I3D-mean"


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row for each network; mean ± standard deviation over draws, and the difference to `BASE`.

    >>> rows = [{"network": name, "seed": seed, "test": value + seed / 100, "unused": value}
    ...         for name, value in (("I3D-mean", 0.7), ("distilled", 0.8)) for seed in (0, 1)]
    >>> print(table(rows))
    | frozen network | AUC, test | AUC, unused training cases | test, minus I3D-mean | ahead in |
    |---|---|---|---|---|
    | I3D-mean | 0.705 ± 0.007 | 0.700 ± 0.000 | – | – |
    | distilled | 0.805 ± 0.007 | 0.800 ± 0.000 | +0.100 [+0.100, +0.100] | 2 of 2 |
    """
    rows = [line for line in lines if "network" in line]
    text = [
        f"| frozen network | AUC, test | AUC, unused training cases | test, minus {BASE} | ahead in |",
        "|---|---|---|---|---|",
    ]
    of_base = {row["seed"]: row["test"] for row in rows if row["network"] == BASE}
    for name in dict.fromkeys(row["network"] for row in rows):
        draws = [row for row in rows if row["network"] == name]
        paired = np.array([row["test"] - of_base[row["seed"]] for row in draws if row["seed"] in of_base])
        cells = [_mean([row[part] for row in draws]) for part in ("test", "unused")]
        cells += ["–", "–"] if name == BASE or not len(paired) else _difference(paired)
        text.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(text)


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def _difference(paired: np.ndarray) -> list[str]:
    resampled = np.random.default_rng(0).choice(paired, (2000, len(paired))).mean(1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return [f"{paired.mean():+.3f} [{low:+.3f}, {high:+.3f}]", f"{(paired > 0).sum()} of {len(paired)}"]
