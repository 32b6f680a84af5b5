"""The comparison of detectors, and what a run of the bundle said: lines of a file of results, and their tables."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import crossd
import numpy as np
import torch
from crossd.checkpoints import read_card
from crossd.evaluation.metrics import class_aucs
from crossd.files import sha256
from crossd.inference import network_from_card
from crossd.inference.case_scope import foreground_place

from scripts.benchmarks.scope.detectors import QUANTILE, Outputs, detectors, limit
from scripts.benchmarks.scope.sets import choice_sets, vessels


def compare(weights: Path, data: Path, final: bool) -> Iterator[dict[str, Any]]:
    """A line for each detector and set, its scores in it; the first line says of what.

    Args:
        weights: the shipped model.
        data: laid out as `tests/README.md` says.
        final: AdrenalMNIST3D too.
    """
    yield {"kind": "recipe", "weights": sha256(weights), "quantile": QUANTILE}
    card = read_card(weights)
    network = network_from_card(card).eval()
    crossd.load_pretrained(network, weights, strict_head=True)
    plain = crossd.fold(network)
    inside = {split: _outputs(plain, vessels(data, split), card["input"]) for split in ("train", "val", "test")}
    with np.load(data / "medmnist" / "vesselmnist3d_64.npz") as arrays:
        labels = arrays["train_labels"].ravel().astype(int)
    head = tuple(plain.get_parameter(f"fc.{name}").detach().numpy() for name in ("weight", "bias"))
    fitted = detectors(inside["train"], inside["val"], labels, head[0], head[1])
    sets = {name: _outputs(plain, make(), card["input"]) for name, make in choice_sets(data).items()}
    if final:
        sets["adrenal"] = _outputs(plain, vessels(data, "test", "adrenalmnist3d_64"), card["input"])
    for detector, score in fitted.items():
        for name, seen in {"val": inside["val"], "test": inside["test"], **sets}.items():
            scores = [float(f"{value:.5g}") for value in score(seen)]
            yield {"kind": "detector", "detector": detector, "set": name, "scores": scores}


@torch.no_grad()
def _outputs(network: Any, shapes: Iterable[np.ndarray], seen: Mapping[str, Any]) -> Outputs:
    logits, stages, places = [], [], []
    for shape in shapes:
        volume = (torch.from_numpy(shape)[None, None] - seen["mean"]) / seen["std"]
        maps = network.feature_maps(volume)[1:]
        stages.append([stage.mean((2, 3, 4))[0].numpy() for stage in maps])
        places.append(foreground_place(torch.from_numpy(shape) >= 1 / 16).numpy())
        logits.append(network.fc(maps[-1].mean((2, 3, 4)))[0].numpy())
    return Outputs(np.stack(logits), tuple(np.stack(stage) for stage in zip(*stages, strict=True)), np.stack(places))


def answers(name: str, folder: Path, inside: bool) -> dict[str, Any]:
    """What `predictions.csv` of a run says of its cases."""
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    scores = [float(row["unlike"]) for row in rows]
    outside = sum(row["scope"] == "outside" for row in rows)
    return {"kind": "answers", "set": name, "inside": inside, "outside": outside, "scores": scores}


def auroc(inside: Iterable[float], outside: Iterable[float]) -> float:
    """How well a score tells the two apart.

    >>> auroc([1, 2], [2, 3])
    0.875
    """
    scores = torch.tensor([*inside, *outside], dtype=torch.float64)[:, None]
    targets = torch.tensor([0 for _ in inside] + [1 for _ in outside])[:, None]
    return float(class_aucs(scores, targets)[0])


def chosen(lines: Sequence[Mapping[str, Any]]) -> str:
    """The detector with the highest mean AUROC over the choice sets, against validation vessels."""
    means = {name: float(np.mean([*row.values()])) for name, row in _aurocs(lines, "val").items()}
    return max(means, key=means.__getitem__)


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: the detectors, then what the bundle answered."""
    against_test, against_val = _aurocs(lines, "test"), _aurocs(lines, "val")
    sets = [*dict.fromkeys(line["set"] for line in lines if line["kind"] == "detector")][2:]
    best = chosen(lines)
    text = [
        f"AUROC against the {_count(lines, 'test')} test vessels, and in brackets the share that is outside. Chosen by "
        f"the mean AUROC over the choice sets against the {_count(lines, 'val')} validation vessels: **{best}**.",
        "",
        f"| detector | test vessels inside | choice, mean | {' | '.join(sets)} |",
        "|---" * (len(sets) + 3) + "|",
    ]
    for detector, row in against_test.items():
        scores = {line["set"]: np.array(line["scores"]) for line in lines if line.get("detector") == detector}
        farthest = limit(scores["val"])
        every = {**row, **({"adrenal": auroc(scores["test"], scores["adrenal"])} if "adrenal" in scores else {})}
        cells = [f"{every[name]:.3f} ({100 * np.mean(scores[name] > farthest):.0f} %)" for name in sets]
        mean, kept = np.mean([*against_val[detector].values()]), np.mean(scores["test"] <= farthest)
        mark = "**" if detector == best else ""
        text.append(f"| {mark}{detector}{mark} | {100 * kept:.1f} % | {mean:.3f} | {' | '.join(cells)} |")
    runs = [line for line in lines if line["kind"] == "answers"]
    inside = [line for line in runs if line["inside"]]
    if inside:
        text += [
            "",
            f"What `configs/inference.json` answers; AUROC of `unlike` against {inside[0]['set']}:",
            "",
            "| cases | answered | outside | AUROC |",
            "|---|---|---|---|",
        ]
    for line in runs:
        many = len(line["scores"])
        against = "–" if line["inside"] else f"{auroc(inside[0]['scores'], line['scores']):.3f}" if inside else "–"
        text.append(
            f"| {line['set']} | {many} | {line['outside']} ({100 * line['outside'] / many:.1f} %) | {against} |"
        )
    return "\n".join(text)


def _count(lines: Sequence[Mapping[str, Any]], name: str) -> int:
    return next(len(line["scores"]) for line in lines if line.get("set") == name)


def _aurocs(lines: Sequence[Mapping[str, Any]], inside: str) -> dict[str, dict[str, float]]:
    """By detector and choice set."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        if line["kind"] == "detector":
            found.setdefault(line["detector"], {})[line["set"]] = line["scores"]
    return {
        detector: {
            name: auroc(scores[inside], values)
            for name, values in scores.items()
            if name not in ("val", "test", "adrenal")
        }
        for detector, scores in found.items()
    }
