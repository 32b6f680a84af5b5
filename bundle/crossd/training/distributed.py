"""What the processes of a training run share: its cases, gradients and the statistics of batches."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from monai.data import DistributedSampler
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DistributedSampler as EvenSampler
from torch.utils.data import Sampler, SequentialSampler

from crossd.conv import CrossDConv
from crossd.errors import CrossDError
from crossd.processes import process_count, rank


def training_sampler(dataset: Sized, seed: int = 0) -> Sampler[Any]:
    """Every case once in an order that is drawn anew in each epoch; the processes take turns, and have as many each.

    >>> sorted(training_sampler("abcde"))
    [0, 1, 2, 3, 4]
    """
    return EvenSampler(dataset, process_count(), rank(), shuffle=True, seed=seed)  # type: ignore[arg-type]


def validation_sampler(dataset: Sized, number: int | None = None, count: int | None = None) -> Sampler[Any]:
    """Every case once, in order; of several processes each takes every `count`-th.

    Args:
        number: of a process; None: this one's.
        count: how many there are; None: those of this run.

    Raises:
        CrossDError: for fewer cases than processes: one without any could not take part in the metrics.

    >>> list(validation_sampler("abcde", 1, 2))
    [1, 3]
    """
    number, count = rank() if number is None else number, count or process_count()
    if count == 1:
        return SequentialSampler(dataset)
    if len(dataset) < count:
        raise CrossDError(
            f"Every process needs a validation case, got {len(dataset)} cases for {count} processes. Start fewer "
            "by --nproc_per_node, or give more cases the split val."
        )
    options = {"even_divisible": False, "num_replicas": count, "rank": number, "shuffle": False}
    return DistributedSampler(dataset, **options)  # type: ignore[arg-type]


def distributed_network(network: nn.Module, find_unused_parameters: bool = False) -> DistributedDataParallel:
    """Share the gradients, the batch statistics and the running motions of a network over all processes.

    Args:
        network: on its device; its batch norms are replaced in place, so that it and the result are one network.
        find_unused_parameters: whether a step may leave parameters out, the same ones in all processes.
    """
    device = next(network.parameters()).device
    synchronised = SyncBatchNormOnCPU.of if device.type == "cpu" else nn.SyncBatchNorm.convert_sync_batchnorm
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                made = synchronised(child)
                made._forward_pre_hooks = child._forward_pre_hooks  # by which `set_trainable` keeps statistics
                module.add_module(name, made)
    # batch norms and running motions are equal in all processes, so nothing is left to broadcast in each step
    devices = [device] if device.type == "cuda" else None
    parallel = DistributedDataParallel(
        network, device_ids=devices, broadcast_buffers=False, find_unused_parameters=find_unused_parameters
    )
    parallel.register_forward_hook(_share_running_motions)
    return parallel


@torch.no_grad()
def _share_running_motions(network: nn.Module, *_: Any) -> None:
    """After a training batch: the mean over processes of what each has averaged, which is the average of their means.

    That of a layer moves by a part of the way to the batch's mean, and began equal in all processes.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, CrossDConv) and layer.training]
    moved = [layer.running_motion for layer in layers if layer.alignment == "dynamic" and layer.spatial_dims == 2]
    running = [motion for motion in moved if motion is not None]
    if running:
        together = torch.stack(running) / dist.get_world_size()
        dist.all_reduce(together)
        for motion, shared in zip(running, together, strict=True):
            motion.copy_(shared)


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
