"""Runs bundles in forked processes, alone or several together, some of them ended by SIGKILL; started by tests.

Forking saves the seconds that importing torch and MONAI takes. What runs is a config through MONAI's `ConfigWorkflow`,
exactly as `python -m monai.bundle run` does it; several processes meet as those that `torchrun` starts.

Usage: python process_driver.py STEPS.json, a list of {"configs", "workflow_type", "options", "processes",
"environment", "kill": {"rank", "when", "count"}, "log"}. Prints for each step how its processes ended: an exit code,
or minus the signal. When one is killed the others are too, as torch elastic does it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import crossd.evaluation
import crossd.inference
import crossd.report
import crossd.training  # noqa: F401
import ignite.handlers  # noqa: F401 - imported before the forks, as are crossd's parts
import torch
import torch._dynamo  # the first optimizer imports it
from monai.bundle import ConfigWorkflow

SECONDS = 200


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(when: str, count: int) -> None:
    """End this process in its `count`-th file operation of a kind."""
    seen = {"calls": 0}
    fsync, replace = os.fsync, os.replace

    def due() -> bool:
        seen["calls"] += 1
        return seen["calls"] == count

    def journal(descriptor: int) -> str:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        return path if path.endswith(".jsonl") else ""

    def fsync_half(descriptor: int) -> None:
        path = journal(descriptor)
        if path and due():
            whole = Path(path).read_bytes()
            last = whole.rindex(b"\n", 0, -1) + 1 if whole.count(b"\n") > 1 else 0
            os.ftruncate(descriptor, (last + len(whole)) // 2)
            end()
        fsync(descriptor)

    def fsync_half_a_file(descriptor: int) -> None:
        if os.path.isfile(f"/proc/self/fd/{descriptor}") and due():
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            fsync(descriptor)
            end()
        fsync(descriptor)

    def fsync_last(descriptor: int) -> None:
        fsync(descriptor)
        if journal(descriptor) and due():
            end()

    def replace_never(source: str, target: str) -> None:
        if due():
            end()
        replace(source, target)

    def replace_last(source: str, target: str) -> None:
        replace(source, target)
        if due():
            end()

    if when == "half of a line written":
        os.fsync = fsync_half
    elif when == "half of a file written":
        os.fsync = fsync_half_a_file
    elif when == "after a line":
        os.fsync = fsync_last
    elif when == "before a rename":
        os.replace = replace_never
    elif when == "after a rename":
        os.replace = replace_last


def work(step: dict, rank: int, port: int) -> None:
    """Be one process of a step."""
    processes = step.get("processes", 1)
    if processes > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        os.environ |= {"LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= step.get("environment", {})
    kill = step.get("kill")
    if kill and kill["rank"] == rank:
        arm(kill["when"], kill["count"])
    run_config(step["configs"], step["workflow_type"], step["options"])


def run_config(configs: list[str], workflow_type: str, options: dict) -> None:
    workflow = ConfigWorkflow(configs, workflow_type=workflow_type, logging_file=False, **options)
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def fork(step: dict, rank: int, port: int) -> int:
    child = os.fork()
    if child:
        return child
    log = os.open(step["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 0
    try:
        work(step, rank, port)
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    os._exit(code)


def run(step: dict) -> list[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [fork(step, rank, port) for rank in range(step.get("processes", 1))]
    ended: dict[int, int] = {}
    started = time.monotonic()
    while len(ended) < len(children):
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            ended[child] = os.waitstatus_to_exitcode(status)
        if time.monotonic() - started > SECONDS or any(code for code in ended.values()):
            for other in set(children) - ended.keys():
                os.kill(other, signal.SIGKILL)
        time.sleep(0.01)
    return [ended[child] for child in children]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("REPORT" + json.dumps([run(step) for step in json.loads(Path(sys.argv[1]).read_text())]))
