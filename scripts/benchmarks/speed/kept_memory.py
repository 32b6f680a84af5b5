"""What it brings to keep freed memory (`crossd.allocation`): CPU time, page faults and peak memory, with and without.

python -m scripts.benchmarks.speed.kept_memory
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys

import torch
from crossd import CrossDEfficientNetLite, MultiView, fold
from crossd.allocation import keep_freed_memory

WORK = {
    "slices of two volumes of 40³, frozen": lambda: (
        fold(MultiView(3, 1, 2, {"name": "CrossDEfficientNetLite"}, views=["slices"])).eval(),
        torch.randn(2, 1, 40, 40, 40),
        False,
    ),
    "EfficientNet-Lite0 on 8 images of 224², training": lambda: (
        CrossDEfficientNetLite(2, 3, 10).train(),
        torch.randn(8, 3, 224, 224),
        True,
    ),
    "EfficientNet-Lite0 on 4 volumes of 40³, training": lambda: (
        CrossDEfficientNetLite(3, 1, 2).train(),
        torch.randn(4, 1, 40, 40, 40),
        True,
    ),
}
PASSES, TURNS = 3, 5


def measure(work: str, kept: bool) -> dict[str, float]:
    """CPU seconds (of them the system's), page faults of `PASSES` passes, and the peak in MiB, in this process."""
    if kept:
        keep_freed_memory()
    network, x, training = WORK[work]()
    with torch.set_grad_enabled(training):
        for done in range(PASSES + 1):
            if done == 1:
                before = resource.getrusage(resource.RUSAGE_SELF)
            y = network(x)
            if training:
                y.sum().backward()
    after = resource.getrusage(resource.RUSAGE_SELF)
    system = after.ru_stime - before.ru_stime
    seconds = after.ru_utime - before.ru_utime + system
    return {"seconds": seconds, "system": system, "peak": after.ru_maxrss / 1024}


def main() -> int:
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], sys.argv[2] == "kept")))
        return 0
    print("| work | CPU time, kept / not | of it the system's, not kept | kept | peak memory, kept / not |")
    print("|---|---|---|---|---|")
    for work in WORK:
        turns = [{how: _child(work, how) for how in ("not", "kept")} for _ in range(TURNS)]
        ratio = {
            name: statistics.median(turn["kept"][name] / turn["not"][name] for turn in turns)
            for name in ("seconds", "peak")
        }
        system = {
            how: statistics.median(turn[how]["system"] / turn[how]["seconds"] for turn in turns)
            for how in ("not", "kept")
        }
        print(
            f"| {work} | {ratio['seconds']:.2f} | {system['not']:.0%} | {system['kept']:.0%} | {ratio['peak']:.2f} |",
            flush=True,
        )
    return 0


def _child(work: str, how: str) -> dict[str, float]:
    command = [sys.executable, "-m", "scripts.benchmarks.speed.kept_memory", work, how]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(said.stdout.splitlines()[-1])  # type: ignore[no-any-return]


if __name__ == "__main__":
    sys.exit(main())
