"""Linear probing, then fine-tuning: the head is trained alone before all that is to be trained is."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ignite.engine import Engine, Events
from torch import nn

from crossd.errors import CrossDError
from crossd.training.trainable import Body

logger = logging.getLogger(__name__)


class HeadFirst:
    """Handler that freezes all but the head in the first epochs.

    A head with random weights distorts the features that it is put on; one that has been trained does so less. What
    is frozen is in evaluation mode. The optimiser holds all that will be trained: what has no gradient it leaves alone.

    Args:
        networks: one, or several that are trained together.
        epochs: in which the head is trained alone.
        all_epochs: of the run.
        trainable: what is trained later.
        head: name of the last layer.

    Raises:
        CrossDError: where nothing is left to be trained later.

    Source: Kumar et al., "Fine-tuning can distort pretrained features" (ICLR 2022), https://arxiv.org/abs/2202.10054
    """

    def __init__(
        self,
        networks: nn.Module | Sequence[nn.Module],
        epochs: int,
        all_epochs: int,
        trainable: str = "all",
        head: str = "fc",
    ) -> None:
        if epochs and (trainable == "head" or not 0 < epochs < all_epochs):
            raise CrossDError(
                f"head_epochs come before epochs that train more, 0 <= head_epochs < epochs; got {epochs} of "
                f"{all_epochs} with trainable {trainable}. Pass --head_epochs 0, or --trainable all and more --epochs."
            )
        self.bodies = [Body(one, head) for one in ([networks] if isinstance(networks, nn.Module) else networks)]
        self.epochs = epochs

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; MONAI calls this."""
        if self.epochs:
            engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        alone = engine.state.epoch <= self.epochs
        if alone != self.bodies[0].frozen:
            logger.info("epoch %d: %s", engine.state.epoch, "the head is trained alone" if alone else "all is trained")
            for body in self.bodies:
                body.freeze() if alone else body.thaw()
