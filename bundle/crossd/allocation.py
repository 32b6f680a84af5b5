"""Memory that a network has freed stays with the process; by default glibc gives it back, and asks for it anew."""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
LARGEST = 2**30  # bytes


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory up to `LARGEST`, and take what is smaller from there instead of from the system.

    By default it maps each array above 32 MB anew, and returns the end of the heap. A network's maps are such arrays,
    so the system clears the same pages for each layer of each pass: where page faults are dear, as in virtual machines,
    that costs as much as the convolutions (`docs/performance.md`). The peak of memory hardly changes.

    Returns:
        Whether it was set: not on systems without glibc, and not where the environment sets `MALLOC_…` variables or
        `GLIBC_TUNABLES` itself.

    Source: mallopt(3); `DEFAULT_MMAP_THRESHOLD_MAX` of glibc's malloc.

    >>> keep_freed_memory() in (True, False)
    True
    """
    named = any(name.startswith(("MALLOC_MMAP_", "MALLOC_TRIM_")) for name in os.environ)
    if named or "GLIBC_TUNABLES" in os.environ or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(M_MMAP_THRESHOLD, LARGEST), mallopt(M_TRIM_THRESHOLD, LARGEST)])
