"""Peak memory of a contestant: the highest resident set of a process of its own, less what it had at first."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

LIMIT = 24 * 2**30  # bytes


@dataclass(frozen=True)
class Peak:
    """What a process of its own found.

    Attributes:
        built: bytes that the contestant itself holds (its weights).
        peak: highest number of bytes during its calls, `built` included.
        seconds: of its last call.
        reason: why it did not run, `"memory"` or `"time"`, or an error's text; `None` when it did.
    """

    built: int = 0
    peak: int = 0
    seconds: float = 0.0
    reason: str | None = None


def resident(field: str = "VmRSS") -> int:
    """Bytes of this process, from the kernel (Linux): resident (`VmRSS`), at most (`VmHWM`), in all (`VmSize`).

    >>> 0 < resident() <= resident("VmHWM")
    True
    """
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def available() -> int:
    """Bytes that new processes can have without swapping, at most `LIMIT`."""
    with open("/proc/meminfo", encoding="ascii") as info:
        for line in info:
            if line.startswith("MemAvailable:"):
                return min(LIMIT, int(line.split()[1]) * 1024)
    return LIMIT


def peak_memory(
    prepare: Callable[..., Callable[[], float]],
    *arguments: Any,
    threads: int = 1,
    calls: int = 2,
    timeout: float = 600.0,
    limit: int | None = None,
) -> Peak:
    """Build a contestant and call it, in a process that has imported everything and built nothing.

    Args:
        prepare: builds it and returns what is called; importable by name, as are `arguments`.
        threads: of torch.
        calls: how often it is called; once when the first call takes more than 5 seconds.
        timeout: seconds until it is given up.
        limit: bytes of address space that it may add; default: what the machine has available, at most 24 GiB.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["scripts.benchmarks.speed.contestants"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_measure, args=(sender, prepare, arguments, threads, calls, limit or available()), daemon=True
    )
    process.start()
    sender.close()
    try:
        if not receiver.poll(timeout):
            return Peak(reason="time")
        return receiver.recv()
    except EOFError:  # killed by the kernel
        return Peak(reason="memory")
    finally:
        process.kill()
        process.join()


def _measure(
    sender: Connection, prepare: Any, arguments: tuple[Any, ...], threads: int, calls: int, limit: int
) -> None:
    import resource

    import torch

    torch.set_num_threads(threads)
    resource.setrlimit(resource.RLIMIT_AS, (resident("VmSize") + limit, resource.RLIM_INFINITY))
    try:
        _touch()
        before = resident()
        call = prepare(*arguments)
        built = resident() - before
        _forget_highest()
        for _ in range(calls):
            seconds = call()
            if seconds > 5:
                break
        sender.send(Peak(max(built, 0), resident("VmHWM") - before, seconds))
    except MemoryError:
        sender.send(Peak(reason="memory"))
    except Exception as error:
        memory = "allocate memory" in str(error) or "not enough memory" in str(error)
        sender.send(Peak(reason="memory" if memory else f"{type(error).__name__}: {error}"))


def _forget_highest() -> None:
    """Let `VmHWM` begin anew at what is resident now, so that what building needed in passing does not count."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as highest:
        highest.write("5")


def _touch() -> None:
    """Run a little of everything, so that the pages of torch's own code do not count as a contestant's."""
    import torch
    import torch.nn.functional as F

    weight = torch.randn(8, 8, 3, 3, 3, requires_grad=True)
    spectrum = torch.fft.ifftn(torch.fft.fftn(weight, dim=(2, 3, 4)), dim=(2, 3, 4)).real
    y = F.conv3d(torch.randn(2, 8, 9, 9, 9), spectrum, padding=1).relu().mean(2)
    y = F.conv2d(F.batch_norm(y, None, None, training=True), spectrum[:, :, 1]).flatten(1)
    (y @ y.T).softmax(1)[0, 0].backward()
