"""The public data sets that `scripts/prepare_datalist.py` can prepare: a name and the function that writes it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from crossd.data.sets.hippocampus_parts import prepare_hippocampus_parts
from crossd.data.sets.medmnist import SETS, prepare_medmnist
from crossd.errors import CrossDError, one_of

DATASETS: dict[str, Callable[..., Path]] = {
    "hippocampusparts": prepare_hippocampus_parts,
    **{name: partial(prepare_medmnist, name) for name in SETS},
}
"""By name: `prepare(root, output_dir, **options) -> path of labels.csv`. A new set adds a module and an entry here."""


def prepare_datalist(
    dataset: str, root: str | os.PathLike[str], output_dir: str | os.PathLike[str], **options: Any
) -> Path:
    """Write the volumes of a public data set and their `labels.csv` (columns image, label, split).

    Args:
        dataset: a key of `DATASETS`.
        root: the folder with the files as published.
        output_dir: where the volumes and `labels.csv` go.
        options: those of the data set (its `prepare` function's keywords); None leaves the default.

    Returns:
        The path of `labels.csv`.

    Raises:
        CrossDError: an unknown data set or option, or a missing or altered file.

    >>> sorted(DATASETS)
    ['hippocampusparts', 'vesselmnist3d']
    """
    one_of("dataset", dataset, sorted(DATASETS))
    options = {name: value for name, value in options.items() if value is not None}
    accepted = [
        name
        for name, parameter in inspect.signature(DATASETS[dataset]).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    unknown = sorted(set(options) - set(accepted))
    if unknown:
        raise CrossDError(
            f"Options of {dataset}: {', '.join(accepted) or 'none'}; got {', '.join(unknown)}. Leave it out."
        )
    return DATASETS[dataset](root, output_dir, **options)
