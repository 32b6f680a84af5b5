"""DICOM objects that are no slices of a volume: which are passed over as nobody's scan, and which are failures."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from crossd.errors import CrossDError

# SOP classes by the beginning of their UID, the first that fits (PS3.4, table B.5-1).
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_KINDS = (
    (f"{_STORAGE}88.59", "key object selections"),
    (f"{_STORAGE}88.", "structured reports"),
    (f"{_STORAGE}104.", "encapsulated documents"),
    (f"{_STORAGE}11.", "presentation states"),
    (f"{_STORAGE}66.4", "segmentations"),
    (f"{_STORAGE}481.2", "radiotherapy doses"),
    (f"{_STORAGE}481.", "radiotherapy objects"),
)
_NOT_IMAGES = {"segmentations": "a segmentation", "radiotherapy doses": "a radiotherapy dose"}
_SECONDARY_CAPTURE = f"{_STORAGE}7"
# Whole words: what vendors call the images that a scan is planned on.
_LOCALIZER = re.compile(
    r"(?:^|[^a-z])(locali[sz]ers?|scouts?|topograms?|scanograms?|surviews?|survey|3-?pl(?:ane)? ?loc)(?:$|[^a-z])",
    re.I,
)


class Label(NamedTuple):
    """What a series is called: SeriesInstanceUID, Modality, SeriesDescription and SeriesNumber."""

    uid: str = ""
    modality: str = ""
    description: str = ""
    number: int = 0

    def __str__(self) -> str:
        name = f"{self.modality or 'no modality'} '{self.description}'"
        return f"{name}{f' no. {self.number}' if self.number else ''} ({self.uid})"


@dataclass(frozen=True)
class Rejected:
    """A file, or the folder of a series, that cannot become a volume, and why.

    Attributes:
        path: the file or folder.
        reason: rule, value and remedy.
        kind: for what is passed over because no scan is lost by it, what it is ("structured reports"); empty for a
            failure.
        label: the series it belongs to, as far as its header could be read.
    """

    path: str
    reason: str
    kind: str = ""
    label: Label | None = None


def kind_of_object(dataset: Any, sop_class: str) -> str:
    """What an object without a place in a volume is, in the plural; empty where it should have been an image.

    >>> from pydicom.dataset import Dataset
    >>> kind_of_object(Dataset(), "1.2.840.10008.5.1.4.1.1.88.11")
    'structured reports'
    """
    for beginning, kind in _KINDS:
        if sop_class.startswith(beginning):
            return kind
    if not dataset.get("Rows") or not dataset.get("Columns"):
        return "objects without pixels"
    if sop_class.startswith(_SECONDARY_CAPTURE):
        return "secondary captures"
    return "images in colour" if int(dataset.get("SamplesPerPixel") or 1) != 1 else ""


def localizer(dataset: Any) -> str:
    """By what an image is known to be a localizer; empty for all others.

    CT says it in ImageType (0008,0008) value 3, "LOCALIZER" (PS3.3, C.8.2.1.1.1); MR scanners in SeriesDescription.

    >>> from pydicom.dataset import Dataset
    >>> dataset = Dataset()
    >>> dataset.SeriesDescription = "3-plane localizer"
    >>> localizer(dataset)
    "its SeriesDescription is '3-plane localizer'"
    """
    if "LOCALIZER" in [str(part).upper() for part in dataset.get("ImageType") or []]:
        return "its ImageType says LOCALIZER"
    description = str(dataset.get("SeriesDescription") or "").strip()
    return f"its SeriesDescription is '{description}'" if _LOCALIZER.search(description) else ""


def check_is_image(path: str, dataset: Any, sop_class: str) -> None:
    """Refuse what has no grey values of a slice or frame, or fewer bytes than its header declares.

    Raises:
        CrossDError: no pixels, a segmentation or dose, colour, frames without a description, or a file that
            is cut short.
    """
    from pydicom.uid import UID

    name, kind = Path(path).name, UID(sop_class).name
    if not dataset.get("Rows") or not dataset.get("Columns"):
        raise CrossDError(
            f"A DICOM object needs pixels to be classified: '{name}' ({kind}) has none. "
            "Nothing to do unless you expected an image here; then export it again."
        )
    if (what := kind_of_object(dataset, sop_class)) in _NOT_IMAGES:
        raise CrossDError(
            f"A DICOM object must be an image: '{name}' is {_NOT_IMAGES[what]}. "
            "Nothing to do unless you expected an image here."
        )
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise CrossDError(
            f"A volume has one value per voxel: '{name}' is in colour "
            f"({dataset.get('PhotometricInterpretation')}, {kind}). Convert it to grey levels, or remove it."
        )
    frames = len(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    if frames and frames != int(dataset.get("NumberOfFrames") or 1):
        raise CrossDError(
            f"A multi-frame object must describe each frame: '{path}' describes {frames} of "
            f"{dataset.get('NumberOfFrames')}. It is damaged: copy it again."
        )
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    if syntax is not None and not syntax.is_compressed and not syntax.is_deflated:
        frames = int(dataset.get("NumberOfFrames") or 1)
        needed = dataset.Rows * dataset.Columns * frames * int(dataset.get("BitsAllocated") or 8) // 8
        if os.path.getsize(path) < needed:
            raise CrossDError(
                f"A DICOM file must hold the pixels it declares: '{path}' has {os.path.getsize(path)} bytes where its "
                f"{frames} × {dataset.Rows} × {dataset.Columns} pixels need {needed}. It is cut short: copy it again."
            )


def count_kinds(rejected: Iterable[Rejected]) -> list[Rejected]:
    """Failures as they are; what is passed over as one entry per folder and kind, with its count and an example.

    >>> two = [Rejected(f"/a/{name}.dcm", "It has no pixels.", "structured reports") for name in "xy"]
    >>> print(count_kinds(two)[0].reason)
    No scan, skipped: structured reports, 2 in '/a'. For instance: It has no pixels.
    """
    rejected = list(rejected)
    counts = Counter((os.path.dirname(item.path), item.kind) for item in rejected if item.kind)
    merged: list[Rejected] = []
    for item in rejected:
        folder = os.path.dirname(item.path)
        count = counts.pop((folder, item.kind), 0) if item.kind else 1
        if item.kind and count:
            reason = f"No scan, skipped: {item.kind}, {count} in '{folder}'. For instance: {item.reason}"
            merged.append(Rejected(item.path if count == 1 else folder, reason, item.kind, item.label))
        elif count:
            merged.append(item)
    return merged
