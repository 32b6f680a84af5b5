"""Learning rates by layer: what is near the input, where features are general, learns more slowly than the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from crossd.errors import CrossDError

EPS = 1e-8  # of AdamW
HEAD = ("fc.weight", "fc.bias")


def parameter_groups(
    network: nn.Module,
    learning_rate: float,
    layer_decay: float = 1.0,
    weight_decay: float = 0.0,
    target: Mapping[str, float] | None = None,
) -> list[Any]:
    r"""The parameters to be trained, with a learning rate for each stage, as an optimiser of torch takes them.

    Of $n$ stages the $i$-th, from 0 at the input, has the rate $\eta \gamma^{n - i}$. All that belongs to no stage, as
    the head, has $\eta$.

    Args:
        network: of whose modules some have `stages`, names of layers from the input on: every classifier here, both
            sides of a `MultiView`, and those that hybrid training joins.
        learning_rate: $\eta$.
        layer_decay: $\gamma$; 1: one rate for all.
        weight_decay, target: of a regression, that of AdamW and the card's; see `in_unit`.

    Raises:
        CrossDError: for a decay outside of 0 to 1, and for a network without stages unless it is 1.

    Source: Howard and Ruder, discriminative fine-tuning, https://arxiv.org/abs/1801.06146

    >>> import crossd
    >>> groups = parameter_groups(crossd.CrossDResNet(2, 1, 2, depth=10, width=4), 0.1, layer_decay=0.5)
    >>> [(group["lr"], len(group["params"])) for group in groups]
    [(0.1, 2), (0.003125, 9), (0.00625, 18), (0.0125, 21), (0.025, 21), (0.05, 21)]
    """
    if not 0 < layer_decay <= 1:
        raise CrossDError(f"layer_decay must lie in 0 < layer_decay <= 1; got {layer_decay}. Pass 1 for one rate.")
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    if target is not None:
        return in_unit(
            network, parameter_groups(network, learning_rate, layer_decay), learning_rate, weight_decay, target
        )
    if layer_decay == 1:
        return [parameter for _, parameter in named]
    stages = [
        (depth, tuple(f"{path}.{layer}.".lstrip(".") for layer in layers))
        for path, module in network.named_modules()
        for depth, layers in enumerate(getattr(module, "stages", ()))
    ]
    if not stages:
        raise CrossDError(
            f"layer_decay needs a network of known stages, a classifier of crossd; got {type(network).__name__}. "
            "Leave it out."
        )
    count = 1 + max(depth for depth, _ in stages)
    groups: dict[int, list[nn.Parameter]] = {}
    for name, parameter in named:
        found = next((depth for depth, names in stages if name.startswith(names)), count)
        groups.setdefault(found, []).append(parameter)
    return [
        {"params": groups[depth], "lr": learning_rate * layer_decay ** (count - depth)}
        for depth in (count, *range(count))
        if depth in groups
    ]


def in_unit(
    network: nn.Module, groups: Sequence[Any], learning_rate: float, weight_decay: float, target: Mapping[str, float]
) -> list[Any]:
    r"""Groups with the head apart, which AdamW then trains as if the target were standardised.

    The weights of a head that says a number in its unit are $s$ times those of one that says how many scales $s$ it is
    from the mean, and so is what they have to move by. With the rate $s\eta$, the decay $\lambda / s$ and
    $\epsilon / s$ each step is $s$ times that of such a head. The bias, which is the mean, is not drawn towards 0.

    Args:
        groups: parameters, or groups of an optimiser.
        learning_rate, weight_decay: $\eta$ and $\lambda$ of the optimiser.
        target: of the card, whose `scale` is $s$.
    """
    scale, head = float(target["scale"]), dict(network.named_parameters())
    own = [head[name] for name in HEAD if name in head and head[name].requires_grad]
    apart = {id(one) for one in own}
    kept = groups if groups and isinstance(groups[0], dict) else [{"params": list(groups)}]
    rest = [{**group, "params": [one for one in group["params"] if id(one) not in apart]} for group in kept]
    said = {"lr": scale * learning_rate, "eps": EPS / scale}
    decays = [weight_decay / scale if one.ndim > 1 else 0.0 for one in own]
    return [
        *(group for group in rest if group["params"]),
        *({"params": [one], **said, "weight_decay": decay} for one, decay in zip(own, decays, strict=True)),
    ]
