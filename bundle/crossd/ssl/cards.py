"""The card of a pre-trained encoder: what it is, what it has seen, and which intensities it expects."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossd.checkpoints import check_card
from crossd.errors import CrossDError
from crossd.ssl.encoders import default_conv
from crossd.training.run_files import write_whole
from crossd.version import __version__

logger = logging.getLogger(__name__)
MEASURED = 64  # cases of each kind


def intensity_statistics(cases: Any, most: int = MEASURED) -> dict[str, float]:
    """Mean and standard deviation of the grey values of cases in [0, 1].

    Pre-training normalises every view by itself; fine-tuning normalises all by one mean and std. With the mean of the
    cases' means and the root of the mean of their variances the two agree on average.

    Args:
        cases: data set of items with `"image"`, `(channel, …)`.
        most: so many of them are measured, evenly spread.

    Returns:
        `{"mean", "std"}`, rounded to four digits.
    """
    chosen = np.unique(np.linspace(0, len(cases) - 1, min(most, len(cases))).round().astype(int))
    images = [cases[int(index)]["image"].double() for index in chosen]
    mean = float(np.mean([float(image.mean()) for image in images]))
    variance = float(np.mean([float(image.var(unbiased=False)) for image in images]))
    return {"mean": round(mean, 4), "std": max(round(variance**0.5, 4), 1e-4)}


def ssl_card(
    encoder: str,
    conv: str | None,
    network: Mapping[str, Any],
    input: Mapping[str, Any],
    sides: Mapping[str, Any],
    windows: Mapping[str, int],
    sources: Sequence[str | Sequence[str] | None],
) -> dict[str, Any]:
    """The card of `model.pt`, checked; `task` is `"self_supervised"`, and there are no classes.

    `input` is what fine-tuning takes over. Its mean and std are measured on the volumes, or, where there are none, on
    the images. What images were shown as is in `pseudo_3d`.

    Args:
        encoder: a name of `ENCODERS`.
        conv: as for `build_encoder`.
        network: its options.
        input: channels, plane, spacing, roi_size and intensity.
        sides: by kind, the `Side`s whose cases are measured.
        windows: of `window_options`.
        sources: what was given as images and as volumes, whose names become `data`.

    Raises:
        CrossDError: when an entry breaks a rule.
    """
    measured = {kind: intensity_statistics(sides[kind].cases) for kind in ("volumes", "images") if kind in sides}
    names = [
        Path(str(path)).name
        for given in sources
        if given
        for path in ([given] if isinstance(given, str) else given)
        if str(path).lower() != "none"
    ]
    options = dict(network)
    if (conv or default_conv(encoder)) != "crossd" and encoder == "crossd":
        options["conv"] = "plain"
    elif conv == "crossd" and encoder != "crossd":
        options["conv"] = "crossd"
    return check_card(
        {
            "format": 1,
            "crossd_version": __version__,
            "task": "self_supervised",
            "encoder": encoder,
            "class_names": [],
            "negative_class": None,
            "network": {"spatial_dims": 3, "in_channels": len(input["channels"]), **options},
            "input": {**input, **next(iter(measured.values()))},
            "pseudo_3d": {**windows, **measured["images"]} if "images" in measured else None,
            "data": ", ".join(names),
            "metrics": {},
        },
        "the configuration",
    )


def write_cases(output_dir: str | None, sides: Mapping[str, Any], images: Mapping[str, Any] | None) -> None:
    """Write `cases.csv` (kind, case, source) of all that is trained on, and `skipped_images.csv` if need be.

    Args:
        output_dir: of the run.
        sides: by kind.
        images: of `unlabelled_images`, for those that were skipped.

    Raises:
        CrossDError: without a folder.
    """
    if output_dir is None:
        raise CrossDError("Training needs a folder for what it writes, got none. Pass --output_dir DIR.")
    rows = [(kind, item["case"], str(item.get("source", ""))) for kind, side in sides.items() for item in side.items]
    _write(Path(output_dir) / "cases.csv", ("kind", "case", "source"), rows)
    skipped = (images or {}).get("skipped", [])
    path = Path(output_dir) / "skipped_images.csv"
    if skipped:
        _write(path, ("source", "image", "reason"), skipped)
        logger.warning("%d images cannot be read and are left out: see %s", len(skipped), path)
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, text.getvalue())
