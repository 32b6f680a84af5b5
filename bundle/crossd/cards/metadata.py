"""What a bundle's `metadata.json` says of a model, made from the model's card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossd.cards.rules import SEGMENTATION
from crossd.cards.tasks import REGRESSION
from crossd.version import __version__

# of the bundle's metadata: what holds for every network that this version of the library runs
_SHARED = (
    *("schema", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"),
    *("authors", "copyright", "data_type"),
)


def metadata_from_card(card: Mapping[str, Any], weights: Path, bundle: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a checkpoint that is not the bundle's own model.

    >>> seen = {"channels": ["ct"], "roi_size": [64, 64, 64], "mean": 0.5, "std": 0.25}
    >>> card = {"task": "multiclass", "class_names": ["well", "ill"], "network": {}, "input": seen, "metrics": {}}
    >>> made = metadata_from_card(card, Path("run/model.pt"), {"name": "another", "schema": "monai"})
    >>> made["name"], made["task"], made["schema"]
    ('Cross-D model model', 'Classification of volumes: 0 well, 1 ill', 'monai')
    """
    dims = card["network"].get("spatial_dims", 3)
    classes = ", ".join(f"{index} {name}" for index, name in enumerate(card["class_names"]))
    kinds = {
        SEGMENTATION: ("Segmentation", "class of each voxel"),
        REGRESSION: ("Regression", "value, in the unit of the training's table"),
    }
    task, said = kinds.get(card["task"], ("Classification", "probability of each class"))
    made = {name: bundle[name] for name in _SHARED if name in bundle}
    return made | {
        "version": __version__,
        "changelog": {__version__: f"exported from {weights.name}"},
        "name": f"Cross-D model {weights.stem}",
        "task": f"{task} of {'images' if dims == 2 else 'volumes'}: {classes}",
        "description": f"A network trained with crossd {card.get('crossd_version', '')}; its card says all it knows.",
        "data_source": str(card.get("data") or "not stated"),
        "pred_classes": f"{said}: {classes}",
        "eval_metrics": dict(card.get("metrics") or {}),
        "intended_use": str(card.get("intended_use") or "Research and demonstration; not for clinical use"),
        "card": dict(card),
        "network_data_format": _data_format(card, dims),
    }


def _data_format(card: Mapping[str, Any], dims: int) -> dict[str, Any]:
    seen, names = card["input"], card["class_names"]
    count, window = len(seen["channels"]), (seen["roi_size"] or ["*"] * 3)[-dims:]
    means, stds = (value if isinstance(value, list) else [value] * count for value in (seen["mean"], seen["std"]))
    pairs = list(zip(means, stds, strict=True))
    image = {
        "type": "image",
        "format": "magnitude",
        "modality": "n/a",
        "num_channels": count,
        "spatial_shape": window,
        "dtype": "float32",
        "value_range": [min((0 - m) / s for m, s in pairs), max((1 - m) / s for m, s in pairs)],
        "is_patch_data": seen["roi_size"] is not None,
        "channel_def": {str(index): name for index, name in enumerate(seen["channels"])},
    }
    segments = card["task"] == SEGMENTATION
    pred = {
        "type": "image" if segments else "probabilities",
        "format": "segmentation" if segments else "classes",
        "num_channels": len(names),
        "spatial_shape": window if segments else [1, len(names)],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": segments,
        "channel_def": {str(index): name for index, name in enumerate(names)},
    }
    if card["task"] == REGRESSION:
        pred |= {"type": "values", "format": "values", "value_range": []}
    return {"inputs": {"image": image}, "outputs": {"pred": pred}}
