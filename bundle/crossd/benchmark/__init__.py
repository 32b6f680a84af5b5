"""What the operator and its networks cost beside the plain ones: contestants, timing, memory and tables."""

from __future__ import annotations

from crossd.benchmark.memory import Peak, peak_memory
from crossd.benchmark.rows import Row, rows
from crossd.benchmark.timing import Quartiles, ratios, take_turns

__all__ = ["Peak", "Quartiles", "Row", "peak_memory", "ratios", "rows", "take_turns"]
