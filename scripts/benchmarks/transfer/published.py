"""Figures of others, beside which ours are put. They were found under other protocols and are no baselines of ours."""

from __future__ import annotations

from collections.abc import Mapping

PAPER = "Cross-D Conv, arXiv 2411.02441 v4"
MEDMNIST = "MedMNIST v2, Yang et al., Scientific Data 2023"

# test AUC on the official split at 28³, trained from scratch: (ResNet-18 3D, ResNet-18 ACS, best public and whose)
OFFICIAL_AUC: dict[str, tuple[float, float, float, str]] = {
    "organmnist3d": (0.996, 0.994, 0.998, "CDSSL-P3D; NeuroVis"),
    "nodulemnist3d": (0.863, 0.873, 0.914, "auto-sklearn, MedMNIST v2"),
    "fracturemnist3d": (0.712, 0.714, 0.750, "ResNet-50 ACS, MedMNIST v2"),
    "adrenalmnist3d": (0.827, 0.839, 0.881, "ArkMedMNIST"),
    "vesselmnist3d": (0.874, 0.930, 0.951, "ArkMedMNIST"),
    "synapsemnist3d": (0.820, 0.705, 0.851, "ResNet-50 3D, MedMNIST v2"),
}

# Table I, ResNet-18: macro precision, recall, F1, balanced accuracy, accuracy on the images of pre-training
PRETRAINING: dict[tuple[str, str], tuple[float, float, float, float, float]] = {
    ("ImageNet-1K", "plain"): (0.6807, 0.6693, 0.6657, 0.6693, 0.6693),
    ("ImageNet-1K", "Cross-D"): (0.6895, 0.6881, 0.6838, 0.6881, 0.6881),
    ("RadImageNet", "plain"): (0.5830, 0.4989, 0.5252, 0.4989, 0.8305),
    ("RadImageNet", "Cross-D"): (0.5891, 0.5228, 0.5471, 0.5228, 0.8374),
}

# Table II, accuracy by weak probing, 3 trials × 5 folds: pre-trained on (ImageNet-1K, RadImageNet)
VOLUME_ACCURACY: dict[str, dict[str, tuple[str, str]]] = {
    "vesselmnist3d": {"ACS": ("0.874 ± 0.026", "0.886 ± 0.018"), "Cross-D": ("0.887 ± 0.018", "0.887 ± 0.018")},
    "synapsemnist3d": {"ACS": ("0.736 ± 0.017", "0.727 ± 0.013"), "Cross-D": ("0.731 ± 0.015", "0.731 ± 0.015")},
    "fracturemnist3d": {"ACS": ("0.456 ± 0.027", "0.471 ± 0.034"), "Cross-D": ("0.469 ± 0.027", "0.491 ± 0.032")},
    "mosmed": {"ACS": ("0.523 ± 0.057", "0.547 ± 0.072"), "Cross-D": ("0.505 ± 0.068", "0.557 ± 0.102")},
    "lung": {"ACS": ("0.532 ± 0.034", "0.548 ± 0.034"), "Cross-D": ("0.513 ± 0.071", "0.529 ± 0.058")},
    "brats21": {"ACS": ("0.539 ± 0.030", "0.545 ± 0.041"), "Cross-D": ("0.549 ± 0.031", "0.558 ± 0.044")},
    "ixi": {"ACS": ("0.542 ± 0.044", "0.555 ± 0.046"), "Cross-D": ("0.583 ± 0.059", "0.559 ± 0.050")},
    "busv": {"ACS": ("0.559 ± 0.079", "0.604 ± 0.063"), "Cross-D": ("0.590 ± 0.064", "0.602 ± 0.066")},
}
IMAGE_ACCURACY: dict[str, dict[str, tuple[str, str]]] = {
    "organcmnist": {"2D": ("0.862 ± 0.006", "0.842 ± 0.006"), "Cross-D": ("0.871 ± 0.007", "0.848 ± 0.008")},
    "organsmnist": {"2D": ("0.708 ± 0.035", "0.742 ± 0.008"), "Cross-D": ("0.763 ± 0.008", "0.743 ± 0.008")},
    "brain tumor": {"2D": ("0.884 ± 0.011", "0.902 ± 0.010"), "Cross-D": ("0.892 ± 0.010", "0.910 ± 0.013")},
    "brain": {"2D": ("0.305 ± 0.023", "0.268 ± 0.023"), "Cross-D": ("0.308 ± 0.026", "0.283 ± 0.023")},
    "breastmnist": {"2D": ("0.819 ± 0.019", "0.832 ± 0.021"), "Cross-D": ("0.836 ± 0.021", "0.835 ± 0.037")},
    "breast cancer": {"2D": ("0.745 ± 0.024", "0.762 ± 0.016"), "Cross-D": ("0.759 ± 0.022", "0.747 ± 0.023")},
    "bloodmnist": {"2D": ("0.951 ± 0.004", "0.923 ± 0.004"), "Cross-D": ("0.953 ± 0.003", "0.909 ± 0.005")},
    "pneumoniamnist": {"2D": ("0.948 ± 0.006", "0.945 ± 0.006"), "Cross-D": ("0.957 ± 0.005", "0.946 ± 0.008")},
    "dermamnist": {"2D": ("0.765 ± 0.009", "0.724 ± 0.008"), "Cross-D": ("0.771 ± 0.009", "0.726 ± 0.009")},
}
MAJORITY: dict[str, float] = {
    "vesselmnist3d": 1693 / 1908,
    "synapsemnist3d": 0.73,
    "breastmnist": 570 / 780,
    "pneumoniamnist": 4273 / 5856,
}
"""Of all cases, as the paper pools them, from the counts of MedMNIST's files; Synapse approximate."""


def published_tables() -> str:
    """The figures above as Markdown."""
    lines = [
        f"Test AUC on the official split, 28³, trained from scratch ({MEDMNIST}), and the best public figure found:",
        "",
        "| set | ResNet-18 3D | ResNet-18 ACS | best found | whose |",
        "|---|---|---|---|---|",
    ]
    for name, (plain, acs, best, whose) in OFFICIAL_AUC.items():
        lines.append(f"| {name} | {plain:.3f} | {acs:.3f} | {best:.3f} | {whose} |")
    lines += [
        "",
        f"2D pre-training, ResNet-18 ({PAPER}, Table I):",
        "",
        "| pre-training | network | precision | recall | F1 | balanced accuracy | accuracy |",
        "|---|---|---|---|---|---|---|",
    ]
    for (images, network), values in PRETRAINING.items():
        lines.append(f"| {images} | {network} | {' | '.join(f'{value:.4f}' for value in values)} |")
    lines += ["", f"Accuracy by weak probing, 3 trials × 5 folds, ResNet-18 ({PAPER}, Table II), volumes:", ""]
    lines += _accuracies(VOLUME_ACCURACY, "ACS")
    lines += ["", "The same for images:", "", *_accuracies(IMAGE_ACCURACY, "2D")]
    return "\n".join(lines)


def _accuracies(figures: Mapping[str, Mapping[str, tuple[str, str]]], other: str) -> list[str]:
    head = " | ".join(f"{kind}, {images}" for kind in (other, "Cross-D") for images in ("ImageNet", "RadImageNet"))
    lines = [f"| set | always the majority | {head} |", "|---|---|---|---|---|---|"]
    for name, rows in figures.items():
        majority = f"{MAJORITY[name]:.3f}" if name in MAJORITY else "–"
        lines.append(f"| {name} | {majority} | {' | '.join([*rows[other], *rows['Cross-D']])} |")
    return lines
