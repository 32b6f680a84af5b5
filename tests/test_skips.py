"""A run for CI fails where a test skips for a reason that is not on the list; any other run says so and goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .skips import LIST, allowed

TESTS = """
import pytest

def test_of_a_call():
    pytest.skip("no Chromium")

@pytest.mark.skipif(True, reason="no GPU")
def test_of_a_mark(): ...

@pytest.mark.xfail(reason="known", strict=True)
def test_that_fails():
    raise AssertionError
"""
FILE = "import pytest\n\npytest.importorskip('crossd_nowhere', reason='no such package')\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs pytest on tests that skip, with the hook and a list; everything it prints."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "tests").mkdir()
    (folder / "tests" / "skips.py").write_bytes(Path(__file__).with_name("skips.py").read_bytes())
    (folder / "tests" / "conftest.py").write_text("from . import skips\n\n\npytest_configure = skips.register\n")
    (folder / "tests" / "test_some.py").write_text(TESTS)
    (folder / "tests" / "test_file.py").write_text(FILE)

    def run(ci, lines, *arguments):
        (folder / "tests" / LIST.name).write_text(lines)
        command = [sys.executable, "-m", "pytest", "--import-mode=importlib", "-p", "no:cacheprovider"]
        command += ["--continue-on-collection-errors", *arguments]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        done = subprocess.run(
            [*command, "tests"], cwd=folder, env={**environment, "CI": ci}, capture_output=True, text=True
        )
        return done.returncode, done.stdout

    return run


def test_without_ci_a_skip_is_a_skip(run):
    status, said = run("false", "")
    assert (status, "3 skipped, 1 xfailed" in said) == (0, True), said


@pytest.mark.parametrize("arguments", [(), ("-n", "1")], ids=["one process", "workers"])
def test_what_the_list_does_not_name_fails(run, arguments):
    status, said = run("true", "# why\ntests/test_some.py::test_of_a_mark | no G*\n", *arguments)
    assert status != 0
    for test, reason in (
        ("tests/test_some.py::test_of_a_call", "no Chromium"),
        ("tests/test_file.py", "no such package"),
    ):
        assert f"{test} is skipped, which tests/allowed_skips.txt does not allow where CI is set: {reason}" in said
    assert "Install what it needs in .ci/run, or add a line to that list" in said
    assert "test_of_a_mark is skipped, which" not in said
    assert "test_that_fails is skipped" not in said


def test_each_line_of_the_list_names_tests_and_a_reason():
    pairs = allowed(LIST.read_text(encoding="utf-8"))
    for test, reason in pairs:
        assert list(Path(__file__).parents[1].glob(test.partition("::")[0])), f"{test} names no file"
        assert reason.strip("*"), f"{test}: a reason is said, not any allowed"
