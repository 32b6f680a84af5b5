"""Which parts of a network are trained: the head, the norms and the head (weak probing), or everything."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.hooks import RemovableHandle

from crossd.errors import CrossDError

MODES = ("head", "norms", "all")
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


def set_trainable(network: nn.Module, mode: str = "all", head: str = "fc") -> nn.Module:
    """Freeze what is not to be trained, in place.

    ========= ============================== ================================================================
    mode      parameters with a gradient     batch norms while training
    ========= ============================== ================================================================
    `"head"`  the head                       backbone frozen: running statistics are used and stay as they are
    `"norms"` the head and all norm layers   train mode: batch statistics are used, running ones are updated
    `"all"`   all                            train mode
    ========= ============================== ================================================================

    `"norms"` is the paper's weak probing ("selectively trains only the batch normalization and linear layers while
    keeping other parameters frozen", Cross-D Conv, section III). Parameters that already require no gradient never get
    one.

    With `"head"`, every module outside of the head is put into evaluation mode whenever it is called, so
    `network.train()`, which MONAI's trainer calls in each iteration, does not wake the norms.

    Args:
        network: a classifier. What it names as `head_parts`, as attention that pools, is trained with the head.
        head: name of its last layer; `fc` in ResNets.

    Returns:
        The network itself.

    Raises:
        CrossDError: for an unknown mode, or when there is no layer of the head's name.

    >>> layers = {"conv": nn.Conv3d(1, 2, 3), "norm": nn.BatchNorm3d(2), "fc": nn.Linear(2, 2)}
    >>> network = set_trainable(nn.ModuleDict(layers), "norms")
    >>> [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    ['norm.weight', 'norm.bias', 'fc.weight', 'fc.bias']
    """
    if mode not in MODES:
        raise CrossDError(f"trainable must be one of {', '.join(MODES)}, got {mode!r}. Example: --trainable norms.")
    body = Body(network, head)
    if mode == "head":
        body.freeze()
    if mode == "norms":
        for module in body.modules:
            if not isinstance(module, NORMS):
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(False)
    return network


class Body:
    """All of a network but its head.

    Raises:
        CrossDError: when there is no layer of the head's name.

    >>> network = nn.ModuleDict({"conv": nn.Conv3d(1, 2, 3), "fc": nn.Linear(2, 2)})
    >>> body = Body(network)
    >>> body.freeze()
    >>> [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    ['fc.weight', 'fc.bias']
    """

    def __init__(self, network: nn.Module, head: str = "fc") -> None:
        named = dict(network.named_modules())
        if head not in named:
            raise CrossDError(
                f"The head must be a layer of the network, got {head!r}; its layers are "
                f"{[name for name, _ in network.named_children()]}. Name its last layer."
            )
        heads = tuple(f"{part}." for part in (head, *getattr(network, "head_parts", ())))
        self.modules = [module for name, module in named.items() if not f"{name}.".startswith(heads)]
        self.frozen = False
        self._trained: list[nn.Parameter] = []
        self._hooks: list[RemovableHandle] = []

    def freeze(self) -> None:
        """No gradients, and evaluation mode, whatever is called."""
        self.frozen = True
        for module in self.modules:
            self._hooks.append(module.register_forward_pre_hook(_evaluation_mode))
            self._trained += [one for one in module.parameters(recurse=False) if one.requires_grad]
        for parameter in self._trained:
            parameter.requires_grad_(False)

    def thaw(self) -> None:
        """As it was before."""
        self.frozen = False
        for parameter in self._trained:
            parameter.requires_grad_(True)
        for hook in self._hooks:
            hook.remove()
        self._trained, self._hooks = [], []


def _evaluation_mode(module: nn.Module, _: Any) -> None:
    """A forward pre-hook; a function of the module's own, so that hooked networks can be copied and pickled."""
    module.training = False
