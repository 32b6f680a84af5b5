"""Figures of others, beside which ours are put. They were found under other protocols and are no baselines of ours."""

from __future__ import annotations

PAPER = "Cross-D Conv, arXiv 2411.02441 v4, Table II"
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

# accuracy, 3 trials × 5 folds, pre-trained on (ImageNet-1K, RadImageNet); a dash: not among our sources
PAPER_ACCURACY: dict[str, dict[str, tuple[str, str]]] = {
    "vesselmnist3d": {"Cross-D": ("0.887 ± 0.018", "0.887 ± 0.018")},
    "synapsemnist3d": {"Cross-D": ("0.731 ± 0.015", "0.731 ± 0.015")},
    "busv": {"Cross-D": ("0.590", "0.602"), "ACS": ("0.559", "0.604")},
    "brats21": {"Cross-D": ("0.549", "0.558"), "ACS": ("0.539", "0.545")},
    "ixi": {"Cross-D": ("0.583", "0.559"), "ACS": ("0.542", "0.555")},
    "fracturemnist3d": {"Cross-D": ("0.469", "0.491"), "ACS": ("0.456", "0.471")},
    "mosmed": {"Cross-D": ("0.505", "0.557"), "ACS": ("0.523", "0.547")},
    "lung": {"Cross-D": ("0.513", "0.529"), "ACS": ("0.532", "0.548")},
}
MAJORITY: dict[str, float] = {"vesselmnist3d": 1694 / 1909, "synapsemnist3d": 0.73}
"""Of all cases, as the paper pools them; Vessel from MedMNIST's counts, Synapse approximate."""


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
        f"Accuracy by weak probing, 3 trials × 5 folds, ResNet-18 ({PAPER}); “–”: not retrieved:",
        "",
        "| set | always the majority | Cross-D, ImageNet | Cross-D, RadImageNet | ACS, ImageNet | ACS, RadImageNet |",
        "|---|---|---|---|---|---|",
    ]
    for name, rows in PAPER_ACCURACY.items():
        majority = f"{MAJORITY[name]:.3f}" if name in MAJORITY else "–"
        cells = [*rows["Cross-D"], *rows.get("ACS", ("–", "–"))]
        lines.append(f"| {name} | {majority} | {' | '.join(cells)} |")
    return "\n".join(lines)
