"""`Ensemble`: trained classifiers of one kind as one network, whose probabilities are the mean of theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossd.errors import CrossDError
from crossd.networks.classifiers import build_classifier

MOST = 100  # members


class Ensemble(nn.Module):
    r"""Several classifiers with weights of their own, and one answer.

    The logits are those of the mean $p = \frac1n \sum_i p_i$ of the members' probabilities, $\log p$, or for classes
    that do not exclude each other $\log\frac{p}{1-p}$; so all that takes a classifier's logits takes these. Of
    a regression it is the mean of what the members say.

    Args:
        spatial_dims, in_channels, num_classes: of each member.
        member: what `build_classifier` takes, `name` and arguments, but dimensions, channels and classes.
        count: of members.
        exclusive: whether the classes exclude each other; None: there are none, members say a value.

    Shapes: `(batch, in_channels, *spatial)` → logits `(batch, num_classes)`.

    Raises:
        CrossDError: for fewer than 1 or more than 100 members.

    Source: Lakshminarayanan, Pritzel, Blundell, "Simple and scalable predictive uncertainty estimation using deep
    ensembles", NeurIPS 2017.

    >>> network = Ensemble(3, in_channels=1, num_classes=2, member={"depth": 10, "width": 4}, count=3).eval()
    >>> volumes = torch.rand(2, 1, 16, 16, 16)
    >>> mean = torch.stack([member(volumes).softmax(1) for member in network.members]).mean(0)
    >>> torch.allclose(network(volumes).softmax(1), mean)
    True
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        num_classes: int,
        member: Mapping[str, Any],
        count: int,
        exclusive: bool | None = True,
    ) -> None:
        super().__init__()
        if not 1 <= count <= MOST:
            raise CrossDError(f"An ensemble has 1 to {MOST} members; got count {count!r}. Correct the card.")
        sizes = {"spatial_dims": spatial_dims, "in_channels": in_channels, "num_classes": num_classes}
        self.members = nn.ModuleList(build_classifier({**member, **sizes}) for _ in range(count))
        self.exclusive, self.of_values = bool(exclusive), exclusive is None
        first = self.members[0]
        if hasattr(first, "joins"):  # what is around the parts of each member is traced for one size of volumes
            self.joins = ()
        if hasattr(first, "last_stage"):
            self.last_stage = f"members.0.{first.last_stage}"

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, in_channels, *spatial)` → logits `(batch, num_classes)`."""
        said = [member(x) for member in self.members]
        return self.joined(torch.stack(said, 1))

    def joined(self, logits: Tensor) -> Tensor:
        """The members' logits `(batch, member, classes)` → those of the ensemble `(batch, classes)`."""
        if self.of_values:
            return logits.mean(1)
        if self.exclusive:
            return F.log_softmax(logits, 2).logsumexp(1) - math.log(len(self.members))
        return F.logsigmoid(logits).logsumexp(1) - F.logsigmoid(-logits).logsumexp(1)

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and from the same pass the first member's features and what each says, see `members_said`."""
        member: Any = self.members[0]
        first, features = member.with_features(x)
        said = torch.stack([first, *(other(x) for other in list(self.members)[1:])], 1)
        chances = said.softmax(2) if self.exclusive else said if self.of_values else said.sigmoid()
        return self.joined(said), torch.cat([features, chances.flatten(1)], 1)


def members_said(arguments: Mapping[str, Any], features: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Parts features of `Ensemble.with_features`, or their mean over windows: the first member's, and probabilities.

    Args:
        arguments: the `network` of a card; of another network the features are its own.
        features: `(features,)`; None where there are none.

    Returns:
        Features `(features - count * classes,)`, and the members' probabilities `(count, classes)`, or None.

    >>> members_said({"name": "Ensemble", "count": 2, "num_classes": 2}, torch.arange(6.0))
    (tensor([0., 1.]), tensor([[2., 3.],
            [4., 5.]]))
    """
    if features is None or arguments.get("name") != "Ensemble":
        return features, None
    count, classes = int(arguments["count"]), int(arguments["num_classes"])
    return features[: -count * classes], features[-count * classes :].reshape(count, classes)
