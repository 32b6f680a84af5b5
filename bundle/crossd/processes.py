"""Several processes of one run, started by `torchrun`: how they meet, wait for each other, share, and part.

Everything here works in a process of its own too, where there is nothing to wait for.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from crossd.allocation import keep_freed_memory
from crossd.bundle import check_version
from crossd.errors import CrossDError, report_plainly
from crossd.options import check_given

T = TypeVar("T")


def join_processes(config: str = "pretrain_2d", minutes: float = 30, backend: str | None = None) -> int:
    """Join the other processes that `torchrun` has started: by NCCL where there is a GPU for each, by gloo otherwise.

    Args:
        config: whose overlay `multi_gpu_<config>.json` this is, for the error.
        minutes: to wait for another process before it is taken for lost.
        backend: "gloo" for processes on GPUs that share no tensors.

    Returns:
        The rank of this process.

    Raises:
        CrossDError: when it was not started by `torchrun`.
    """
    report_plainly()
    missing = [name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK") if name not in os.environ]
    if missing:
        raise CrossDError(
            f"Several processes are started by torchrun, got no {', '.join(missing)}. Run {_command(config)}, or leave "
            "the overlay out."
        )
    if not dist.is_initialized():
        device = process_device()
        if device.type == "cuda":
            torch.cuda.set_device(device)
        _meet(backend or ("nccl" if device.type == "cuda" else "gloo"), timedelta(minutes=minutes))
    return dist.get_rank()


def _meet(backend: str, timeout: timedelta) -> None:
    """Join the group, under keys of this start.

    `torchrun` keeps its store when it starts processes again, and with it the addresses of those that are lost; they
    would be called first. Only on one machine do all processes count the starts alike.
    """
    if int(os.environ.get("GROUP_WORLD_SIZE", 0)) != 1:
        dist.init_process_group(backend, timeout=timeout)
        return
    store, number, count = next(iter(dist.rendezvous("env://", timeout=timeout)))
    own = dist.PrefixStore(f"start_{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    dist.init_process_group(backend, store=own, rank=number, world_size=count, timeout=timeout)


def check_run(bundle_root: str, config: str | None = None) -> None:
    """What a config's `run` begins with: memory, plain errors, our version, the options, that processes have met.

    Args:
        config: its name, without `.json`, where it has an overlay for several processes; None: it runs in one.

    Raises:
        CrossDError: see `check_version`, `check_given` and `check_launch`.
    """
    report_plainly()
    keep_freed_memory()
    check_version(bundle_root)
    check_given()
    if config is not None:
        check_launch(process_count(), config)


def check_launch(world_size: int, config: str) -> None:
    """Refuse to be one of more processes of `torchrun` than a config has joined: all would write the same files."""
    started = int(os.environ.get("WORLD_SIZE", 1))
    if started != world_size:
        raise CrossDError(
            f"Processes of one run know of each other by the overlay, got {started} processes of torchrun and "
            f"{config}.json for {world_size}. Run {_command(config, started)}, or start it without torchrun."
        )


def _command(config: str, processes: int = 2) -> str:
    return (
        f"torchrun --nproc_per_node {processes} -m monai.bundle run --config_file \"['configs/{config}.json', "
        f"'configs/multi_gpu_{config}.json']\" …"
    )


def process_device() -> torch.device:
    """The GPU of this process's `LOCAL_RANK`; the CPU where there are fewer GPUs than processes on this machine."""
    local, processes = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return torch.device(f"cuda:{local}" if torch.cuda.device_count() >= processes else "cpu")


def leave_processes(network: nn.Module | None = None) -> None:
    """Part from the others.

    The reducer of a `DistributedDataParallel` owns the process group too. Were it the last owner, Python would free the
    group while it holds the interpreter's lock, and wait for gloo's threads, which wait for that lock to free what they
    hold: the process would hang at its end, in most runs. So it goes first.

    Args:
        network: what `crossd.training.distributed_network` returned, if anything; it can still be used, in this process
            alone.
    """
    if isinstance(network, DistributedDataParallel):
        network.logger = network.reducer = None  # type: ignore[assignment]
        gc.collect()
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def rank() -> int:
    """Of this process; 0 where there is one only."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def process_count() -> int:
    """How many there are.

    >>> process_count()
    1
    """
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def was_restarted() -> bool:
    """Whether torch elastic has started this process again, after one of them was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def wait_for_all() -> None:
    """Go on when all processes are here."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def on_first(function: Callable[[], T]) -> T:
    """What a function returns in the first process, in all of them; what it raises, likewise.

    For what is to be done once, because it takes long or because all have to agree. All processes call it.

    >>> on_first(lambda: ["a.nii.gz", "b.nii.gz"])
    ['a.nii.gz', 'b.nii.gz']
    """
    if process_count() == 1:
        return function()
    said: list[Any] = [None, None]
    if rank() == 0:
        try:
            said[0] = function()
        except Exception as error:  # the others would wait for ever
            said[1] = error
    dist.broadcast_object_list(said, src=0)
    if said[1] is not None:
        raise said[1]
    return said[0]  # type: ignore[no-any-return]
