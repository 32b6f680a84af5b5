"""The handler that lets 2D training take each batch for axial, coronal or sagittal images in turn."""

from __future__ import annotations

from ignite.engine import Engine, Events
from torch import nn

from crossd.conv import CrossDConv, random_through_plane, set_through_plane
from crossd.errors import CrossDError


class RandomThroughPlane:
    """Draws, for every training step, which axis of the 3D kernels the images do not show.

    Each of the three comes once in three steps. Whatever runs between steps, such as validation, sees axial images; so
    does the network when training is over. The draw follows from seed and step: a resumed run goes on with the same
    ones, and all processes of a distributed run agree.

    Args:
        network: a 2D network, also inside `DistributedDataParallel`.

    Raises:
        CrossDError: for a network without 2D Cross-D layers.
    """

    def __init__(self, network: nn.Module, seed: int = 0) -> None:
        if not any(isinstance(module, CrossDConv) and module.spatial_dims == 2 for module in network.modules()):
            raise CrossDError(
                f"Random through-plane axes need 2D Cross-D layers; {type(network).__name__} has none. Leave "
                "configs/random_axes_2d.json out, or train with --conv crossd."
            )
        self.network = network
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; MONAI calls this."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._draw)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._axial)

    def _draw(self, engine: Engine) -> None:
        random_through_plane(self.network, self.seed, engine.state.iteration - 1)

    def _axial(self, _: Engine) -> None:
        set_through_plane(self.network, 0)
