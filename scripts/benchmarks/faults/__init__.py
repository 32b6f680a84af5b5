"""Damage done to good scans on purpose, to see that every input ends as an answer or as a reason."""

from __future__ import annotations

from scripts.benchmarks.faults.campaign import run_campaign
from scripts.benchmarks.faults.judgement import Outcome
from scripts.benchmarks.faults.table import write_campaign

__all__ = ["Outcome", "run_campaign", "write_campaign"]
