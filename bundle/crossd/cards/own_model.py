"""The card in a bundle's `configs/metadata.json`, and whether a model is the one that the bundle was published with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError

_WHICH = ("task", "class_names", "negative_class", "label_values", "network", "input", "data", "metrics")


def is_bundles_own(card: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Whether a card is that of the model that a bundle's metadata speaks of: name, version, intended use, figures.

    It is where all that decides or measures the answers is the same; a later version of crossd, coded findings or an
    intended use of its own make no other model.

    Args:
        card: of a checkpoint.
        metadata: the content of `metadata.json`; its entry `card` is compared.

    >>> card = {"task": "multiclass", "class_names": ["a", "b"], "crossd_version": "0.1.0"}
    >>> is_bundles_own({**card, "crossd_version": "0.2.0"}, {"card": card}), is_bundles_own(card, {})
    (True, False)
    >>> is_bundles_own({**card, "metrics": {"val_auc": 0.9}}, {"card": card})
    False
    """
    own = metadata.get("card")
    return isinstance(own, Mapping) and bool(own) and all(own.get(name) == card.get(name) for name in _WHICH)


def metadata_beside(weights: str | Path) -> Path:
    """Where the metadata of a bundle are whose `models` folder holds a file."""
    return Path(weights).resolve().parent.parent / "configs" / "metadata.json"


def bundle_card(metadata: Path) -> Any:
    """The card in a bundle's metadata; None where there is no such file, or no card in it.

    Raises:
        CrossDError: for a file that is no JSON.
    """
    if not metadata.is_file():
        return None
    try:
        return json.loads(metadata.read_text(encoding="utf-8")).get("card")
    except (OSError, ValueError, AttributeError) as error:
        raise CrossDError(f"A bundle's metadata is JSON; {metadata} is not: {error}. Repair it.") from error
