"""A network for volumes and its twin for images, whose parameters are the same tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from crossd.errors import CrossDError, one_of
from crossd.networks import Classifier, build_classifier
from crossd.networks.tied import check_twins, crossd_layers, tie
from crossd.training.loss import branch_weights
from crossd.training.trainable import set_trainable

STATISTICS = ("separate", "shared")


class HybridNetwork(nn.Module):
    """Volumes and images in one forward pass, through one set of parameters.

        volume logits = fc₃(f(volumes; θ, 3D))        image logits = fc₂(f(images; θ, 2D))

    Everything but the last layers `fc` is shared: not equal, but the same tensors, so that a step moves both networks
    by the sum of both gradients. So is `running_motion`, which the images move and by which `alignment="running"`
    aligns the kernels of the volumes. One forward pass takes both, as `DistributedDataParallel` needs it: it would take
    a parameter that one branch only reaches for unused in a pass of the other.

    Args:
        volumes: the 3D network, which is what is wanted in the end; changed in place, as is the other.
        images: the 2D network of the same layers; its parameters but those of the head are replaced.
        norm_statistics: `"shared"`: batch norms have one running mean and variance, moved by images and volumes;
            `"separate"`: one for each. In training either batch is normalised by its own statistics in both cases. The
            batch norms within predictors are shared wherever only the images use them.
        volume_weight, image_weight: of the losses, see `HybridLoss`. A branch of weight 0 is not run, and what only it
            uses requires no gradient.
        head: name of the last layer.

    Shapes: `(batch, channel, depth, height, width)` and `(batch, channel, height, width)` → the logits `(batch,
    classes)` of each, None for a branch of weight 0.

    Raises:
        CrossDError: for networks without Cross-D layers, or of other layers than each other.

    Source: named as future work in Yavuz and Yang, arXiv 2411.02441; how it is done is ours.

    >>> arguments = {"in_channels": 1, "depth": 10, "width": 4}
    >>> from crossd import CrossDResNet
    >>> volumes, images = (CrossDResNet(dims, num_classes=classes, **arguments) for dims, classes in ((3, 2), (2, 6)))
    >>> network = HybridNetwork(volumes, images)
    >>> network.volumes.layer1[0].conv1.weight is network.images.layer1[0].conv1.weight
    True
    >>> [tuple(logits.shape) for logits in network(torch.randn(2, 1, 16, 16, 16), torch.randn(8, 1, 32, 32))]
    [(2, 2), (8, 6)]
    """

    def __init__(
        self,
        volumes: nn.Module,
        images: nn.Module,
        norm_statistics: str = "separate",
        volume_weight: float = 1.0,
        image_weight: float = 1.0,
        head: str = "fc",
    ) -> None:
        super().__init__()
        one_of("norm_statistics", norm_statistics, STATISTICS)
        self.run_volumes, self.run_images = (bool(w) for w in branch_weights(volume_weight, image_weight))
        check_twins(volumes, images, head)
        self.volumes = volumes
        self.images = images
        self.norm_statistics = norm_statistics
        self.head = head
        dynamic = {name for name, layer in crossd_layers(images).items() if layer.alignment == "dynamic"}
        self._tie()
        for name, layer in crossd_layers(volumes).items():
            if layer.predictor is not None:  # 3D layers at `running` froze what is now the images' predictor too
                used = layer.alignment == "dynamic" and self.run_volumes
                layer.predictor.requires_grad_(used or (name in dynamic and self.run_images))
        if not self.run_volumes:
            volumes.get_submodule(head).requires_grad_(False)
        if not self.run_images:
            images.get_submodule(head).requires_grad_(False)

    def forward(self, volumes: Tensor, images: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The logits of both; the volumes first, at the motions that earlier images have left."""
        of_volumes = self.volumes(volumes) if self.run_volumes else None
        return of_volumes, self.images(images) if self.run_images else None

    def _tie(self) -> None:
        tie(self.volumes, self.images, self.head, statistics=self.norm_statistics == "shared")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> HybridNetwork:
        """What `.to()` calls: it makes new buffers, which are tied again."""
        super()._apply(fn, recurse)
        self._tie()
        return self


def image_twin(volumes: nn.Module, network: Mapping[str, Any], num_classes: int, **changes: Any) -> Classifier:
    """A 2D network of the layers of a 3D one, for `HybridNetwork`.

    Args:
        network: the arguments that it was made with, as on its card. `alignment` is left out, so that
            2D has its own default, `"dynamic"`.
        changes: arguments for the 2D network alone, such as `alignment="rest"`.

    Raises:
        CrossDError: when the 3D network is of plain convolutions.

    >>> arguments = {"spatial_dims": 3, "in_channels": 1, "num_classes": 2, "depth": 10, "width": 4}
    >>> from crossd import CrossDResNet
    >>> image_twin(CrossDResNet(**arguments), arguments, 6).fc
    Linear(in_features=32, out_features=6, bias=True)
    """
    if not crossd_layers(volumes):
        raise CrossDError(
            f"Hybrid training needs Cross-D kernels, got a {type(volumes).__name__}. Start from other weights, or none."
        )
    kept = {name: value for name, value in network.items() if name not in ("alignment", "conv")}
    return build_classifier({**kept, "spatial_dims": 2, "num_classes": num_classes, **changes})


def hybrid_network(
    volumes: Classifier,
    network: Mapping[str, Any],
    image_classes: Sequence[str],
    image_options: Mapping[str, Any] | None = None,
    trainable: str = "all",
    norm_statistics: str = "separate",
    volume_weight: float = 1.0,
    image_weight: float = 1.0,
    device: torch.device | str = "cpu",
) -> HybridNetwork:
    """The network of `configs/train_hybrid.json`.

    Args:
        image_options: arguments for the 2D network alone.
        trainable: see `crossd.training.set_trainable`; of both networks.
        norm_statistics, volume_weight, image_weight: see `HybridNetwork`.
    """
    images = image_twin(volumes, network, len(image_classes), **(image_options or {}))
    made = HybridNetwork(volumes, images, norm_statistics, volume_weight, image_weight).to(device)
    for part, run in ((made.volumes, made.run_volumes), (made.images, made.run_images)):
        if run:
            set_trainable(part, trainable)
    return made
