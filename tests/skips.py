"""Where CI is set, a test that skips fails, unless `allowed_skips.txt` allows it: nothing is left out in silence."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

LIST = Path(__file__).with_name("allowed_skips.txt")


def allowed(lines: str) -> list[tuple[str, str]]:
    """The pairs of a list: a pattern of test ids, a pattern of reasons."""
    stripped = [line.strip() for line in lines.splitlines()]
    pairs = [line.partition(" | ") for line in stripped if line and not line.startswith("#")]
    return [(test.strip(), reason.strip()) for test, _, reason in pairs]


class Skips:
    """A plugin: skipped tests and files that the list does not name become failures."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def check(self, report: Any) -> None:
        if report.outcome != "skipped" or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if any(fnmatchcase(report.nodeid, test) and fnmatchcase(reason, why) for test, why in self.pairs):
            return
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} is skipped, which tests/{LIST.name} does not allow where CI is set: {reason}\n"
            "Install what it needs in .ci/run, or add a line to that list and say why no CI machine can run it."
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Any:
        report = yield
        self.check(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Any:
        report = yield
        self.check(report)
        return report


def register(config: pytest.Config) -> None:
    """Check skips in this run where the environment variable CI is set to anything but false."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        config.pluginmanager.register(Skips(allowed(LIST.read_text(encoding="utf-8"))), "crossd-skips")
