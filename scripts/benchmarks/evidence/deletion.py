"""Delete what a map says is important, and as much at random: which lowers the probability of the class more?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from crossd import MultiView
from crossd.inference import VoxelEvidence, WindowGradCAM, WindowInferer, WindowMap
from monai.visualize import GradCAMpp
from torch import Tensor, nn

SHARE = 0.05  # of the voxels that is deleted
DRAWS = 3  # of random voxels, whose probabilities are averaged
Explain = Callable[[Tensor, WindowInferer, int], WindowMap]


@dataclass(frozen=True)
class Deletion:
    """A case. Probabilities of the class: of the whole volume, and what is lost without some of its voxels.

    Attributes:
        seconds: that the map took, of this process.
        foreground, foreground_random: lost without the highest 5 % of the foreground, and without as many others of it.
        volume, volume_random: without the highest 5 % of all voxels, and without as many random ones of the foreground
            as there are among those.
    """

    seconds: float
    foreground: float
    foreground_random: float
    volume: float
    volume_random: float


def methods(network: nn.Module) -> dict[str, Explain]:
    """Maps by name. Of a ResNet `layer1` has 16³ cells in a window of 64³ voxels, `layer2` 8³."""
    views = ("views",) if isinstance(network, MultiView) else ()
    found: dict[str, Explain] = {name: VoxelEvidence(network, name) for name in ("gradient", "occlusion", *views)}
    if views:
        return found
    for layer in ("layer1", "layer2"):
        found[f"Grad-CAM, {layer}"] = WindowGradCAM(network, layer)
        plusplus = WindowGradCAM(network, layer)
        plusplus.cam = GradCAMpp(plusplus.plain, layer)
        found[f"Grad-CAM++, {layer}"] = plusplus
    return found


@torch.no_grad()
def delete(
    explain: Explain, network: nn.Module, image: Tensor, inferer: WindowInferer, index: int, seed: int
) -> Deletion:
    """Delete from a volume `(channel, depth, height, width)`, that is, make background of it.

    Args:
        explain: makes the map.
        index: of the class.
        seed: of the random voxels.

    Raises:
        ValueError: for a volume without foreground.
    """
    began = time.process_time()
    values = explain(image, inferer, index)().flatten()
    seconds = time.process_time() - began
    background = torch.as_tensor(inferer.pad_value, dtype=image.dtype).reshape(-1, 1)
    flat = image.as_subclass(Tensor).flatten(1)  # type: ignore[arg-type]
    foreground = ((flat - background).abs() > 1e-6).any(0).nonzero()[:, 0]
    if not len(foreground):
        raise ValueError("a volume without foreground has nothing to delete")
    generator = torch.Generator().manual_seed(seed)

    def probability(deleted: Tensor) -> float:
        left = flat.clone()
        left[:, deleted] = background
        return float(inferer(left.reshape(1, *image.shape), network)[0, index])

    def at_random(count: int) -> float:
        draws = (foreground[torch.randperm(len(foreground), generator=generator)[:count]] for _ in range(DRAWS))
        return float(np.mean([probability(draw) for draw in draws]))

    whole = probability(foreground[:0])
    count = max(1, round(SHARE * len(foreground)))
    highest = values.topk(round(SHARE * len(values))).indices
    among = int(torch.isin(highest, foreground).sum())
    return Deletion(
        seconds,
        whole - probability(foreground[values[foreground].topk(count).indices]),
        whole - at_random(count),
        whole - probability(highest),
        whole - at_random(among),
    )


def table(found: Mapping[str, Iterable[Deletion]]) -> str:
    """Markdown, a row a method: on how many cases deleting by the map lowers more, the means, and seconds a case."""
    lines = [
        "| map | foreground: lowers more on | lost, at random | volume: lowers more on | lost, at random | s a case |",
        "|---|---|---|---|---|---|",
    ]
    for name, cases in found.items():
        every = np.array([[getattr(case, one.name) for one in fields(Deletion)] for case in cases])
        seconds, *lost = every.T
        cells = []
        for by_map, random in (lost[:2], lost[2:]):
            cells += [f"{np.mean(by_map > random):.1%}", f"{by_map.mean():.3f}, {random.mean():.3f}"]
        lines.append(f"| {name} | {' | '.join(cells)} | {np.median(seconds):.2f} |")
    return "\n".join(lines)
