"""One run: train on crops, keep the check that validates best, segment the test volumes once."""

from __future__ import annotations

import time
from typing import Any

import torch
from crossd.errors import CrossDError
from crossd.segmentation import case_metrics
from crossd.training.randomness import derive_seed
from monai.handlers import MeanDice
from monai.inferers import Inferer, SimpleInferer, SlidingWindowInferer
from monai.losses import DeepSupervisionLoss, DiceCELoss
from monai.utils import CommonKeys
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from scripts.benchmarks.runs.checks import steps_of_checks, train_in_checks
from scripts.benchmarks.segmentation.recipe import Recipe
from scripts.benchmarks.segmentation.tasks import CLASSES, Masked

EVALUATED_AT_ONCE = 4  # volumes; of no account for the result
WINDOWS_AT_ONCE = 8


class Crops(Dataset):
    """The training crops of every step of a run, mirrored and changed in intensity, fixed by the seed alone.

    Step after step whole shuffled passes over the cases follow one another. Methods with the same seed see the same.

    Args:
        part: training cases, intensities in [0, 1].
        draws: how many in all.
        recipe: size of a crop, and how often it is centred on a class.
        normalisation: mean and standard deviation, applied after the change of intensity.
        seed: of everything random.
    """

    def __init__(self, part: Masked, draws: int, recipe: Recipe, normalisation: tuple[float, float], seed: int) -> None:
        self.part, self.crop, self.normalisation = part, recipe.crop, normalisation
        random = torch.Generator().manual_seed(derive_seed(seed, 0))
        cases = len(part.names)
        passes = [torch.randperm(cases, generator=random) for _ in range(-(-draws // cases))]
        self.order = torch.cat(passes)[:draws].tolist()
        where = [[torch.nonzero(label[0] == index) for index in range(1, len(CLASSES))] for label in part.labels]
        room = torch.tensor(part.images.shape[2:]) - torch.tensor(self.crop)
        self.starts = []
        for case in self.order:
            start = (torch.rand(3, generator=random) * (room + 1)).long()
            centred, index = torch.rand(2, generator=random).tolist()
            voxels = where[case][int(index * len(where[case]))]
            if centred < recipe.foreground and len(voxels):
                at = voxels[int(torch.randint(len(voxels), (1,), generator=random))]
                start = (at - torch.tensor(self.crop) // 2).clamp(torch.zeros(3, dtype=torch.long), room)
            self.starts.append(start.tolist())
        self.mirrored = (
            torch.rand(draws, generator=random) < 0.5
        ).tolist()  # left and right: both sides are in the set
        changes = 2 * torch.rand(draws, 2, generator=random) - 1
        self.changes = (recipe.intensity * changes).tolist()

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        case, (factor, offset) = self.order[index], self.changes[index]
        box = (slice(None), *(slice(a, a + size) for a, size in zip(self.starts[index], self.crop, strict=True)))
        image, label = self.part.images[case][box], self.part.labels[case][box].float()
        mean, std = self.normalisation
        image = (image * (1 + factor) + offset - mean) / std
        if self.mirrored[index]:
            image, label = image.flip(-1), label.flip(-1)
        return {CommonKeys.IMAGE: image, CommonKeys.LABEL: label}


class _Whole(Dataset):
    """Whole volumes as MONAI's engines take them."""

    def __init__(self, part: Masked, normalisation: tuple[float, float]) -> None:
        self.part, self.normalisation = part, normalisation

    def __len__(self) -> int:
        return len(self.part.names)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        mean, std = self.normalisation
        return {CommonKeys.IMAGE: (self.part.images[index] - mean) / std, CommonKeys.LABEL: self.part.labels[index]}


def train_and_segment(
    network: nn.Module,
    parts: dict[str, Masked],
    steps: int,
    recipe: Recipe,
    normalisation: tuple[float, float],
    seed: int,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train, choose by validation, and segment the test cases once.

    Args:
        network: changed in place.
        parts: `train`, `val` and `test`.
        steps: of the optimiser, rounded up to a multiple of the checks.
        recipe: everything else.
        normalisation: mean and standard deviation of the pre-training images.
        seed: of order, crops and changes.
        device: where to.

    Returns:
        `val` (`dice` of the chosen check, `curve` of all), `rows` (what `case_metrics` says of each test case),
        `seconds`.

    Raises:
        CrossDError: when the figures are not finite.
    """
    began = time.monotonic()
    place = torch.device(device)
    network = network.to(place)
    checks, per_check = steps_of_checks(steps, recipe)
    crops = Crops(parts["train"], checks * per_check * recipe.batch_size, recipe, normalisation, seed)

    def masks(output: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return output[CommonKeys.PRED].argmax(1, keepdim=True), output[CommonKeys.LABEL]

    dice = MeanDice(include_background=False, num_classes=len(CLASSES), output_transform=masks)
    inferer = inferer_of(recipe)
    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    best = train_in_checks(
        network,
        network,
        {"val_dice": 1},
        steps,
        recipe,
        seed,
        place,
        {"train_data_loader": DataLoader(crops, recipe.batch_size), "loss_function": DeepSupervisionLoss(loss)},
        {
            "val_data_loader": DataLoader(_Whole(parts["val"], normalisation), EVALUATED_AT_ONCE),
            "inferer": inferer,
            "key_val_metric": {"val_dice": dice},
        },
    )
    curve = [value for (value,) in best.curve]
    if not all(bool(tensor.isfinite().all()) for tensor in best.state.values() if tensor.is_floating_point()):
        raise CrossDError("A run must end with finite weights, got NaN or infinity. Lower --learning_rate.")
    rows = _measured(network, inferer, parts["test"], normalisation, place)
    seconds = round(time.monotonic() - began, 1)
    return {"val": {"dice": curve[best.best], "curve": curve}, "rows": rows, "seconds": seconds}


def inferer_of(recipe: Recipe) -> Inferer:
    """How whole volumes are segmented."""
    if recipe.overlap is None:
        return SimpleInferer()
    return SlidingWindowInferer(recipe.crop, WINDOWS_AT_ONCE, recipe.overlap, mode="gaussian")


@torch.no_grad()
def _measured(
    network: nn.Module, inferer: Inferer, part: Masked, normalisation: tuple[float, float], place: torch.device
) -> list[dict[str, dict[str, float]]]:
    network.eval()
    rows: list[dict[str, dict[str, float]]] = []
    for batch in DataLoader(_Whole(part, normalisation), EVALUATED_AT_ONCE):
        answers = inferer(batch[CommonKeys.IMAGE].to(place), network).argmax(1).cpu()
        for answer, label in zip(answers, batch[CommonKeys.LABEL], strict=True):
            case = len(rows)
            said, true = (part.unpadded(values, case).numpy() for values in (answer, label[0]))
            rows.append(case_metrics(said, true, CLASSES, part.spacing[case]))
    return rows
