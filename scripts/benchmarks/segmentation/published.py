"""What others report on the task. They trained on all 260 volumes and were tested on 130 that nobody has labels of."""

from __future__ import annotations

# Dice of (anterior, posterior) on the challenge's test set, as recalled: the papers' tables were not at hand
NNUNET_TEST: dict[str, tuple[str, str]] = {
    "nnU-Net, the challenge's winner: ensembles of five folds, a thousand epochs on a GPU": ("0.90", "0.89"),
}
SOURCES = (
    "Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 2022; Isensee et al., nnU-Net, Nature "
    "Methods 2021"
)


def published_table() -> str:
    """The figures above as Markdown."""
    lines = [
        f"Published on Task04's test set, by others, at another scale ({SOURCES}). Recalled, "
        "not checked against the papers:",
        "",
        "| network | Dice, anterior | Dice, posterior |",
        "|---|---|---|",
    ]
    return "\n".join([*lines, *(f"| {name} | {one} | {two} |" for name, (one, two) in NNUNET_TEST.items())])
