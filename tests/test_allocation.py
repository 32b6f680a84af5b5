"""Law: memory that was freed is taken again without page faults; elsewhere, or where told otherwise, nothing is set."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest
from crossd.allocation import keep_freed_memory

FAULTS = """
import resource, sys
import numpy as np
from crossd.allocation import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
np.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    said = subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True, env={})
    return int(said.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_large_arrays_reuse_pages():
    pages = 5 * 2**27 // resource.getpagesize()
    assert faults("kept") < pages / 20


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES"])
def test_the_environment_goes_first(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert not keep_freed_memory()


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
