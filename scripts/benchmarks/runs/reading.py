"""How the benchmarks read volumes: on their own grid, two percentiles become 0 and 1."""

from __future__ import annotations

from typing import Any

PERCENTILES = (0.5, 99.5)
VOLUMES: dict[str, Any] = {
    **{"channels": ["image"], "plane": "axial", "spacing": None, "mean": 0.0, "std": 1.0},
    "intensity": {"mode": "percentile", "lower": PERCENTILES[0], "upper": PERCENTILES[1]},
}
"""The `input` of a card."""
