"""Law: memory that was freed is taken again without page faults; elsewhere, or where told otherwise, nothing is set."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest
from crossd import allocation
from crossd.allocation import keep_freed_memory

FAULTS = """
import resource, runpy, sys
import numpy as np
assert runpy.run_path(sys.argv[1])["keep_freed_memory"]()  # by itself: the library takes seconds to import
np.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_large_arrays_reuse_pages():
    command = [sys.executable, "-c", FAULTS, allocation.__file__]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env={})
    pages = 5 * 2**26 // resource.getpagesize()
    assert int(said.stdout) < pages / 20


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES"])
def test_the_environment_goes_first(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert not keep_freed_memory()


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
