"""What the operator and its networks cost beside the plain ones: contestants, timing, memory and tables."""

from __future__ import annotations

from crossd.benchmark.speed.memory import Peak, peak_memory
from crossd.benchmark.speed.rows import Row, rows
from crossd.benchmark.speed.timing import Quartiles, ratios, take_turns

__all__ = ["Peak", "Quartiles", "Row", "peak_memory", "ratios", "rows", "take_turns"]
