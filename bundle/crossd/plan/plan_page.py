"""The page of a plan: what was found in the cases, what is proposed, and pictures as the network would see them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossd.data import preprocessing
from crossd.errors import CrossDError
from crossd.files import write_whole
from crossd.plan.case_facts import CaseFacts
from crossd.plan.proposal import Setting
from crossd.report.case_pictures import pictures_of
from crossd.report.plain_page import bullets, pictures, plain_page, table
from crossd.report.plain_page import facts as facts_html

logger = logging.getLogger(__name__)
SHOWN = 8  # cases
SLICES = 1


def write_page(
    folder: Path,
    found: Sequence[CaseFacts],
    settings: Sequence[Setting],
    trouble: Sequence[str],
    counts: Mapping[str, Mapping[str, int]],
    cases: Sequence[Mapping[str, Any]],
    card_input: Mapping[str, Any],
    reading: Mapping[str, Any],
) -> None:
    """Write `report.html`.

    Args:
        folder: of the plan.
        found: of each case.
        settings: proposed.
        trouble: what a person should look at first, a line each.
        counts: of classes in splits; empty without labels.
        cases: in the order of `found`.
        card_input: of the weights' card; the settings change it.
        reading: how the cases are read.
    """
    readable = [one for one in found if not one.error]
    verdict = f"{len(readable)} of {len(found)} cases can be read; " + (
        f"{len(trouble)} things to look at before training." if trouble else "nothing stands in the way of training."
    )
    sections = {
        "To look at first": bullets(trouble or ["nothing"]),
        "What is proposed": table(
            ("setting", "value", "reason"), [(one.name, one.value, one.reason) for one in settings]
        ),
        "Cases of each class": _counts(counts),
        "What was found": facts_html(_summary(readable)),
        f"As the network would see them ({min(SHOWN, len(readable))} of {len(readable)})": pictures(
            _seen(cases, found, settings, card_input, reading)
        ),
    }
    write_whole(folder / "report.html", plain_page("Plan of a training", verdict, sections))


def _counts(counts: Mapping[str, Mapping[str, int]]) -> str:
    if not counts:
        return ""
    splits = list(next(iter(counts.values())))
    return table(("class", *splits), [(name, *of_class.values()) for name, of_class in counts.items()])


def _summary(readable: Sequence[CaseFacts]) -> dict[str, str]:
    """Spread of grids, spacings and extents, by axis."""
    kinds = [one.modality or "unknown" for one in readable]
    said = {"Modality": ", ".join(f"{kind} ({kinds.count(kind)})" for kind in sorted({*kinds}))}
    for name, rows, unit in (
        ("Voxels, depth × height × width", [one.shape for one in readable], ""),
        ("Spacing", [one.spacing for one in readable], " mm"),
        ("Extent", [one.extent for one in readable], " mm"),
    ):
        low, middle, high = np.percentile(np.array(rows, float), (0, 50, 100), axis=0)
        axes = (
            f"{m:.3g}" if np.isclose(a, b) else f"{m:.3g} ({a:.3g} to {b:.3g})"
            for a, m, b in zip(low, middle, high, strict=True)
        )
        said[name] = " × ".join(axes) + unit
    return said


def _seen(
    cases: Sequence[Mapping[str, Any]],
    found: Sequence[CaseFacts],
    settings: Sequence[Setting],
    card_input: Mapping[str, Any],
    reading: Mapping[str, Any],
) -> list[tuple[str, str]]:
    """Middle slices of some cases, preprocessed as is proposed."""
    changes = {one.name: one.value for one in settings if one.name in card_input}
    image = next(case["image"] for case, one in zip(cases, found, strict=True) if not one.error)
    channels = [f"image_{number + 1}" for number in range(len(image))] if isinstance(image, list) else ["image"]
    seen_by = {**card_input, **changes, "channels": channels}
    transform = preprocessing(seen_by, **reading)
    shown: list[tuple[str, str]] = []
    for case, one in zip(cases, found, strict=True):
        if one.error or len(shown) >= 3 * SHOWN:
            continue
        try:
            volume = transform({"image": case["image"]})["image"]
        except CrossDError as error:
            logger.warning("no picture of %s: %s", one.case, error)
            continue
        drawn, _ = pictures_of(volume, {}, seen_by, SLICES)
        shown += [(f"{one.case}, {picture.plane.name}", picture.grey) for picture in drawn]
    return shown
