"""Damage done to good scans on purpose, to see that every input ends as an answer or as a reason."""

from __future__ import annotations

from crossd.benchmark.faults.campaign import run_campaign
from crossd.benchmark.faults.judgement import Outcome
from crossd.benchmark.faults.table import update_page

__all__ = ["Outcome", "run_campaign", "update_page"]
