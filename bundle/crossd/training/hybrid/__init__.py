"""Hybrid training: images and volumes train one set of kernels in the same steps."""

from crossd.training.hybrid.batches import (
    ImageStream,
    PairedLoader,
    PrepareBoth,
    StreamedImages,
    image_channels,
    images_per_step,
)
from crossd.training.hybrid.network import HybridNetwork, hybrid_network, image_twin
from crossd.training.loss import HybridLoss
