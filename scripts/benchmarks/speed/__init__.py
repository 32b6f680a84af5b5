"""What the operator and its networks cost beside the plain ones: contestants, timing, memory and tables."""

from __future__ import annotations

from scripts.benchmarks.speed.memory import Peak, peak_memory
from scripts.benchmarks.speed.rows import Row, rows
from scripts.benchmarks.speed.timing import Quartiles, ratios, take_turns

__all__ = ["Peak", "Quartiles", "Row", "peak_memory", "ratios", "rows", "take_turns"]
