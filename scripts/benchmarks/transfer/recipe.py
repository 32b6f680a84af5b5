"""What every method shares: the size of the network, the steps, the learning rate. None has a recipe of its own."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.benchmarks.runs.recipe import BaseRecipe


@dataclass(frozen=True)
class Recipe(BaseRecipe):
    """How each run of a table of classifiers is trained.

    Attributes:
        shift: voxels by which a training case is moved at most along each axis.
        image_size: pixels a side that 2D images are resized to, as in pre-training.
        bf16: whether the forward pass runs in bfloat16.
    """

    shift: int = 2
    image_size: int = 64
    bf16: bool = False


RECIPES: dict[str, Recipe] = {
    "cpu": Recipe(learning_rate=3e-3),  # docs/results/learning_rate: validation AUC of random weights
    "2d": Recipe(learning_rate=3e-3),
    "ssl": Recipe(width=8, learning_rate=3e-3),  # encoders of configs/pretrain_ssl.json
    # the published network on volumes of 28 or 64 voxels a side
    "gpu": Recipe(width=64, conv1_t_stride=1, batch_size=32, steps={0.1: 1000, 1.0: 4000}, checks=20, bf16=True),
}
"""By table. Which one a file of results was made with is written in it."""
