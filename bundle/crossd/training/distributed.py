"""Training in several processes: how they meet, what they share, and how they part."""

from __future__ import annotations

import gc
import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from crossd.errors import CrossDError

TIMEOUT = timedelta(minutes=30)


def join_processes() -> int:
    """Join the other processes that `torchrun` has started: by NCCL where there is a GPU for each, by gloo otherwise.

    Returns:
        The rank of this process.

    Raises:
        CrossDError: when it was not started by `torchrun`.
    """
    missing = [name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK") if name not in os.environ]
    if missing:
        raise CrossDError(
            f"Training in several processes is started by torchrun, got no {', '.join(missing)}. Run "
            "torchrun --nproc_per_node 2 -m monai.bundle run --config_file \"['pretrain_2d.json', "
            "'multi_gpu_pretrain_2d.json']\" …, or leave the overlay out."
        )
    if not dist.is_initialized():
        device = process_device()
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    return dist.get_rank()


def process_device() -> torch.device:
    """The GPU of this process's `LOCAL_RANK`; the CPU where there are fewer GPUs than processes on this machine."""
    local, processes = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return torch.device(f"cuda:{local}" if torch.cuda.device_count() >= processes else "cpu")


def leave_processes(network: nn.Module) -> None:
    """Part from the others.

    The reducer of a `DistributedDataParallel` owns the process group too. Were it the last owner, Python would free the
    group while it holds the interpreter's lock, and wait for gloo's threads, which wait for that lock to free what they
    hold: the process would hang at its end, in most runs. So it goes first.

    Args:
        network: what `distributed_network` returned; it can still be used, in this process alone.
    """
    if isinstance(network, DistributedDataParallel):
        network.logger = network.reducer = None  # type: ignore[assignment]
        gc.collect()
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def distributed_network(network: nn.Module) -> DistributedDataParallel:
    """Share the gradients, the batch statistics and, by these, the running motion of a network over all processes.

    Args:
        network: on its device; its batch norms are replaced in place, so that it and the result are one network.
    """
    device = next(network.parameters()).device
    if device.type == "cpu":
        for module in list(network.modules()):
            for name, child in module.named_children():
                if isinstance(child, _BatchNorm):
                    module.add_module(name, SyncBatchNormOnCPU.of(child))
    else:
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    # batch norms and running motions are equal in all processes, so nothing is left to broadcast in each step
    devices = [device] if device.type == "cuda" else None
    return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


class SyncBatchNormOnCPU(_BatchNorm):
    """What torch's `SyncBatchNorm`, which works on GPUs only, does; by all-reduced sums, so over gloo too.

    Mean and variance are those of the batches of all processes together; `running_var` gets the unbiased one. (It is no
    subclass of `SyncBatchNorm`, for `DistributedDataParallel` refuses those on CPUs.)
    """

    synchronises = True  # `CrossDConv` then averages the motions of all processes too

    @classmethod
    def of(cls, norm: _BatchNorm) -> SyncBatchNormOnCPU:
        """The same batch norm, with the same parameters and buffers, synchronised."""
        made = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        made._parameters, made._buffers, made.training = norm._parameters, norm._buffers, norm.training
        return made

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of axes."""

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            training = self.training or self.running_mean is None
            momentum = 0.0 if self.momentum is None else self.momentum
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training, momentum, self.eps
            )
        x = input.float()
        axes = [axis for axis in range(x.dim()) if axis != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        count = x.new_tensor([x.numel() / x.shape[1]])
        totals = _SumOverProcesses.apply(torch.cat([x.sum(axes), count]))
        count = totals[-1:].detach()
        mean = totals[:-1] / count
        centred = x - mean.reshape(shape)
        variance = _SumOverProcesses.apply(centred.square().sum(axes)) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean, rate)
                self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), rate)
        y = centred * torch.rsqrt(variance + self.eps).reshape(shape)
        if self.weight is not None:
            y = y * self.weight.reshape(shape) + self.bias.reshape(shape)
        return y.to(input.dtype)


def rank() -> int:
    """Of this process; 0 where there is one only."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def wait_for_all() -> None:
    """Go on when all processes are here."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
