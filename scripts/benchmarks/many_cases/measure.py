"""A run over very many small cases, killed and resumed: what is lost, what memory it takes, and what is to hold."""

from __future__ import annotations

import csv
import platform
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from scripts.benchmarks.many_cases.cases import make_many, make_model
from scripts.benchmarks.many_cases.watch import Answers, Watched, watch

FEW = 100  # cases of the run that memory is compared with
BOUND = 0.10  # of its peak, that the other may take more


def command(
    configs: Path, options: Mapping[str, Any], processes: int = 1, restarts: int = 0, config: str = "inference"
) -> list[str]:
    """How a user starts the run: `python -m monai.bundle run`, or `torchrun` with the overlay."""
    files = [str(configs / f"{config}.json")]
    launch = ["-m", "monai.bundle"]
    if processes > 1:
        files.append(str(configs / f"multi_gpu_{config}.json"))
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), *launch]
        launch[5:5] = ["--max_restarts", str(restarts)]
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [sys.executable, *launch, "run", "--config_file", str(files if processes > 1 else files[0]), *given]


def account(output_dir: Path, images: Path) -> dict[str, int]:
    """Cases, rows of `predictions.csv`, cases without a row, and rows that a case has too many.

    Returns:
        `cases`, `rows`, `lost`, `doubled`, `failed`, `out_of_order` (0 or 1) and `answers`, lines of the journals: more
        than cases where some were done twice.
    """
    with (output_dir / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = [(row["case"], row["status"]) for row in csv.DictReader(file)]
    wanted = sorted(path.name.removesuffix(".nii.gz") for path in images.iterdir())
    found = Counter(case for case, _ in rows)
    return {
        "cases": len(wanted),
        "rows": len(rows),
        "lost": sum(name not in found for name in wanted),
        "doubled": sum(count - 1 for count in found.values()),
        "failed": sum(status != "ok" for _, status in rows),
        "out_of_order": int([case for case, _ in rows] != wanted),
        "answers": Answers(output_dir).count(),
    }


def measure(
    configs: Path,
    folder: Path,
    cases: int,
    processes: int,
    size: int = 16,
    report: bool = True,
    seconds: float = 3600,
    say: Any = print,
) -> dict[str, Any]:
    """Run over few cases, then over many with a kill in the middle, and count.

    In one process the whole run is killed when half of the cases have their answers, and started again with `--resume
    true`. Of several, one is killed then, and torch elastic starts them again.

    Args:
        configs: folder of the configs.
        folder: to work in; nothing in it is removed.
        cases: how many.
        processes: how many.
        size: voxels of the sides of a case.
        report: whether `report.html` is written.
        seconds: after which a run is taken to hang.
        say: receives a line of text now and then.

    Returns:
        JSON-able: what `account` counts, seconds, `peak_mb` and `peak_mb_of_100_cases` of the largest process, their
        quotient `memory`, `starts`, and `course`, some points of answers and MB.
    """
    weights = make_model(folder / "model.pt", configs / "metadata.json", size)
    name = f"{processes}_{'report' if report else 'plain'}"
    options: dict[str, Any] = {"weights": weights, "report": report, "report_slices": 5}

    def run(count: int, **more: Any) -> tuple[Watched, Path, Path]:
        images = folder / f"in_{count}"
        if not images.is_dir():
            make_many(images, count, min(count, 200), size)
        output = folder / f"out_{count}_{name}"
        given = {**options, "images": images, "output_dir": output, "resume": more.pop("resume", False)}
        arguments = command(configs, given, processes, restarts=1)
        return watch(arguments, output, log=folder / f"{name}.log", seconds=seconds, **more), output, images

    few, _, _ = run(FEW)
    say(f"{FEW} cases in {few.seconds:.0f} s, {max(few.peaks):.0f} MB at most")
    watched = [run(cases, kill_after=cases // 2, worker=processes > 1)]
    if processes == 1:
        say(f"killed after {watched[0][0].course[-1][0]} cases")
        watched.append(run(cases, resume=True))
    seen = [one for one, _, _ in watched]
    counted = account(*watched[-1][1:])
    peak, small = (max(peak for one in runs for peak in one.peaks) for runs in (seen, [few]))
    return {
        "processes": processes,
        "report": report,
        **counted,
        "killed": any(one.killed for one in seen),
        "exit_codes": [one.code for one in seen],
        "seconds": [round(one.seconds, 1) for one in seen],
        "peak_mb": round(peak, 1),
        "peak_mb_of_100_cases": round(small, 1),
        "memory": round(peak / small, 4),
        "course": [_thinned(one.course) for one in seen],
    }


def holds(found: dict[str, Any]) -> bool:
    """Whether every case has one row and one answer, it was killed on the way, and memory is within the bound."""
    once = found["rows"] == found["answers"] == found["cases"]
    wrong = found["lost"] + found["doubled"] + found["failed"] + found["out_of_order"]
    return once and not wrong and found["killed"] and found["memory"] <= 1 + BOUND


def describe(found: dict[str, Any]) -> str:
    """A line for people."""
    return (
        f"{found['processes']} processes, report {'on' if found['report'] else 'off'}: {found['cases']} cases, "
        f"{found['rows']} rows, {found['lost']} lost, {found['doubled']} doubled, {found['answers']} answers computed; "
        f"{found['peak_mb']:.0f} MB at most, {found['memory']:.3f} of a run over {FEW} cases; "
        f"{'holds' if holds(found) else 'DOES NOT HOLD'}"
    )


def machine() -> dict[str, str]:
    """Where it was measured."""
    return {"python": platform.python_version(), "torch": torch.__version__, "system": platform.platform()}


def _thinned(course: Sequence[tuple[int, float]], points: int = 20) -> list[list[float]]:
    """Some of the looks, from the first answer on."""
    begun = [[count, round(resident, 1)] for count, resident in course if count and resident]
    return [list(map(float, begun[at * (len(begun) - 1) // points])) for at in range(points + 1)] if begun else []
