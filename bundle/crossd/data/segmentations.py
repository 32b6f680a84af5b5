"""From a list of images and masks, or a Medical Decathlon folder, to the cases of a segmentation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossd.data.case_table import LabelTable, missing_files, read_label_table, resolve_cell
from crossd.data.labels import listed_cases, split_cases
from crossd.data.names import several_spellings
from crossd.data.splits import SPLITS
from crossd.errors import CrossDError

Classes = Sequence[str] | Mapping[Any, str]


def read_segmentations(
    images: str | Path | None,
    labels: str | Path | None = None,
    *,
    classes: Classes | None = None,
    split_fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    recorded_splits: str | Path | None = None,
) -> dict[str, Any]:
    """Read, check and split cases with masks.

    Args:
        images: a folder with the `dataset.json` of the Medical Segmentation Decathlon; or, beside `labels`, the folder
            that relative paths start from (its own folder where None).
        labels: a CSV with the columns `image` (or `image_1 … image_n`, one per channel), `mask`, and optionally `case`,
            `patient` and `split`. Without both arguments there are no cases, so that a config can be looked at.
        classes: see `class_values`; None: those of `dataset.json`.
        split_fractions, seed, recorded_splits: as in `crossd.data.read_labels`. No class decides the split.

    Returns:
        `{"class_names", "label_values", "channels", "train", "val", "test"}`: what each value of a mask means, the
        number of image columns, and the cases, each `{"case", "source", "image": [path per channel], "mask", "patient",
        "split"}`.

    Raises:
        CrossDError: naming every row whose image or mask is missing or doubled; for unknown splits, a patient in two
            splits, no classes, and a `dataset.json` that is not one.

    Source of dataset.json: http://medicaldecathlon.com (Antonelli et al., Nature Communications 2022).
    """
    if labels is None and images is None:
        return {"class_names": None, "label_values": None, "channels": None, **{split: [] for split in SPLITS}}
    if labels is None:
        table, declared = _decathlon(Path(str(images)))
        folder = table.path.parent
    else:
        table, declared = read_label_table(labels, "segmentation"), None
        folder = Path(images) if images is not None else table.path.parent
    if classes is None and declared is None:
        raise CrossDError(
            f"The classes of masks must be named, got none for {table.path}. Pass them with the background first, as "
            "in --classes \"['background','tumour']\", or by value, as in --classes \"{0:'background',4:'tumour'}\"."
        )
    names, values = class_values(classes if classes is not None else declared or {})
    cases = listed_cases(table, folder.absolute())
    _add_masks(table, cases, folder.absolute())
    by_split = split_cases(table, cases, [[0]] * len(cases), split_fractions, seed, recorded_splits)
    return {"class_names": names, "label_values": values, "channels": len(table.image_columns), **by_split}


def class_values(classes: Classes) -> tuple[list[str], list[int]]:
    """Names of the classes, the background first, and the value that each has in a mask.

    Args:
        classes: names, whose values are 0, 1, 2 …; or a mapping of values to names.

    Raises:
        CrossDError: unless there are two or more distinct names, values are distinct whole numbers of 0 to 65535, and
            one of them is 0, the background.

    >>> class_values(["background", "anterior", "posterior"])
    (['background', 'anterior', 'posterior'], [0, 1, 2])
    >>> class_values({"4": "enhancing", "0": "background", "1": "core"})
    (['background', 'core', 'enhancing'], [0, 1, 4])
    """
    pairs = list(classes.items()) if isinstance(classes, Mapping) else list(enumerate(classes))
    try:
        found = sorted((int(value), str(name)) for value, name in pairs)
    except (TypeError, ValueError):
        found = []
    values, names = [value for value, _ in found], [name for _, name in found]
    whole = not isinstance(classes, str) and len(found) >= 2 and values[0] == 0 and values[-1] <= 65535
    if not whole or len(set(values)) < len(values) or several_spellings(names) or len(set(names)) < len(names):
        raise CrossDError(
            "The classes of a segmentation are two or more distinct names, by distinct whole values of which 0 is the "
            f"background; got {classes!r}. Example: --classes \"['background','tumour']\"."
        )
    return names, values


def _add_masks(table: LabelTable, cases: Sequence[dict[str, Any]], folder: Path) -> None:
    empty = [(i, "no mask") for i, row in enumerate(table.rows) if not row["mask"]]
    table.refuse("Every case needs a mask", empty, "Fill the cell or drop the row.")
    for case, row in zip(cases, table.rows, strict=True):
        case["mask"] = resolve_cell(folder, row["mask"])
    missing = list(missing_files(table, "mask", [case["mask"] for case in cases]).items())
    table.refuse("Every mask must exist", missing, f"Paths start from {folder}; pass --images DIR to change that.")
    itself = [(i, case["mask"]) for i, case in enumerate(cases) if case["mask"] in case["image"]]
    table.refuse("A mask is another file than its image", itself, "Name the label map in the column 'mask'.")


def _decathlon(folder: Path) -> tuple[LabelTable, dict[str, str]]:
    """The training cases of a task's `dataset.json` as a table, and its classes by value."""
    path = folder / "dataset.json" if folder.is_dir() else folder
    if path.name != "dataset.json" or not path.is_file():
        raise CrossDError(
            f"Images with masks are a folder with the dataset.json of the Medical Decathlon, or listed in a CSV, got "
            f"{folder}. Pass --labels FILE.csv with the columns image and mask."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        listed = [(str(item["image"]), str(item["label"])) for item in content["training"]]
        classes = {str(int(value)): str(name) for value, name in content["labels"].items()}
        channels = len(content.get("modality") or {"0": ""})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CrossDError(
            "A dataset.json of the Medical Decathlon has the entries labels (names by value) and training (image and "
            f"label of each case); {path} has not: {error!r}. Repair it, or list the cases in a CSV by --labels."
        ) from error
    if not listed:
        raise CrossDError(f"A dataset.json lists training cases, got none in {path}. Download the task again.")
    columns = ("image",) if channels == 1 else tuple(f"image_{index + 1}" for index in range(channels))
    rows = []
    for image, mask in listed:
        sources = [image] if channels == 1 else [f"{image}@{index}" for index in range(channels)]
        rows.append({**dict(zip(columns, sources, strict=True)), "mask": mask})
    every, lines = (*columns, "mask"), tuple(range(1, len(rows) + 1))
    return LabelTable(path, every, tuple(rows), lines, (len(every),) * len(rows), columns, ()), classes
