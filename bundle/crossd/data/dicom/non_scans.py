"""DICOM objects that are no slices of a volume: which are passed over as nobody's scan, and which are failures."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from crossd.data.dicom.values import image_type, syntax_of
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
_SECONDARY_CAPTURE = "secondary captures"
# Of images without a place in the patient: what never has one.
_PLACELESS = (
    (("7",), _SECONDARY_CAPTURE),
    (("1", "12"), "projections"),  # radiography, mammography, angiography and fluoroscopy
    (("3", "6.1"), "ultrasound images"),
    (("77",), "photographs and videos"),
)
_PLACES = ("ImagePositionPatient", "ImageOrientationPatient", "PerFrameFunctionalGroupsSequence")
# What makers call what they make of an examination for people to look at.
_SCREENS = re.compile(
    r"screen ?save|screen ?shot|snapshot|dose ?(?:report|info)|exam ?summary|patient ?protocol|PROT\b", re.I
)
# Whole words: what vendors call the images that a scan is planned on.
_LOCALIZER = re.compile(
    r"(?:^|[^a-z])(locali[sz]ers?|scouts?|topograms?|scanograms?|surviews?|survey|3-?pl(?:ane)? ?loc)(?:$|[^a-z])",
    re.I,
)


_COLOURS = ("Red", "Green", "Blue")
_TABLES = (
    ("Descriptor", _COLOURS),
    ("Data", _COLOURS),
    ("Data", tuple(f"Segmented{colour}" for colour in _COLOURS)),
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
    """A file, or the folder of a series, that cannot become a volume, and why."""

    path: str
    reason: str  # rule, value and remedy
    kind: str = ""  # what it is ("structured reports"), where no scan is lost by passing it over; empty for a failure
    label: Label | None = None  # of its series, as far as its header could be read


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
    for classes, kind in _PLACELESS:
        if any(f"{sop_class}.".startswith(f"{_STORAGE}{number}.") for number in classes):
            return kind
    if is_coloured(dataset):
        return "images in colour"
    if any(dataset.get(name) for name in _PLACES):  # what states one is a scan that is damaged
        return ""
    return "private objects" if is_private(sop_class) else "screenshots" if is_screen(dataset) else ""


def is_private(sop_class: str) -> bool:
    """Whether a SOP class is a maker's own and none of the standard."""
    return bool(sop_class) and not sop_class.startswith("1.2.840.10008.")


def needs_pixels(sop_class: str) -> bool:
    """Whether an object of a SOP class that states Rows and Columns is damaged where it has no pixels.

    >>> needs_pixels("1.2.840.10008.5.1.4.1.1.4"), needs_pixels("1.2.840.10008.5.1.4.1.1.4.2")  # images, spectra
    (True, False)
    """
    from pydicom.uid import UID

    name = UID(sop_class).name
    return not is_private(sop_class) and ("Image Storage" in name or name == sop_class)


def is_screen(dataset: Any) -> bool:
    """Whether an image was made for people to look at (PS3.3, C.7.6.1.1.2: SECONDARY, from other images)."""
    kinds = image_type(dataset)
    said = " ".join([*kinds, str(dataset.get("SeriesDescription") or "")])
    return kinds[1:2] == ["SECONDARY"] or bool(dataset.get("ConversionType")) or bool(_SCREENS.search(said))


def is_coloured(dataset: Any) -> bool:
    """Whether pixels have several values, or numbers of colours of which any is not grey (PS3.3, C.7.6.3.1.5)."""
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        return True
    if dataset.get("PhotometricInterpretation") != "PALETTE COLOR":
        return False
    tables = [[dataset.get(f"{part}PaletteColorLookupTable{what}") for part in colours] for what, colours in _TABLES]
    return (
        any(table != table[:1] * 3 for table in tables) or not tables[0][0] or not any(table[0] for table in tables[1:])
    )


def no_scan(dataset: Any, sop_class: str) -> tuple[str, str]:
    """What an image is that has a place in the patient and yet is no scan, and by what it is known; empty for scans.

    CT says it of localizers in ImageType (0008,0008) value 3, "LOCALIZER" (PS3.3, C.8.2.1.1.1); MR scanners in
    SeriesDescription.

    >>> from pydicom.dataset import Dataset
    >>> dataset = Dataset()
    >>> dataset.SeriesDescription = "3-plane localizer"
    >>> no_scan(dataset, "1.2.840.10008.5.1.4.1.1.4")
    ('images of localizers', "A localizer is no scan: its SeriesDescription is '3-plane localizer'")
    """
    kinds = image_type(dataset)
    description = str(dataset.get("SeriesDescription") or "").strip()
    if "LOCALIZER" in kinds:
        return "images of localizers", "A localizer is no scan: its ImageType says LOCALIZER"
    if _LOCALIZER.search(description):
        return "images of localizers", f"A localizer is no scan: its SeriesDescription is '{description}'"
    if f"{sop_class}.".startswith(f"{_STORAGE}7."):
        return _SECONDARY_CAPTURE, "A secondary capture is no scan: its SOP class says so"
    if any(_SCREENS.search(kind) for kind in kinds):
        return "screenshots", f"A screenshot is no scan: its ImageType is {'/'.join(kinds)}"
    return "", ""


def check_is_image(path: str, dataset: Any, sop_class: str) -> None:
    """Refuse what has no grey values of a slice or frame."""
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
    if is_coloured(dataset):
        raise CrossDError(
            f"A volume has one value per voxel: '{name}' is in colour "
            f"({dataset.get('PhotometricInterpretation')}, {kind}). Convert it to grey levels, or remove it."
        )
    syntax = syntax_of(dataset)
    if syntax is not None and not syntax.is_transfer_syntax:
        raise CrossDError(
            f"The encoding of a DICOM file must be one of the standard: '{path}' has the TransferSyntaxUID (0002,0010) "
            f"{syntax}. Copy the file again, or convert it."
        )
    frames = len(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    if frames and frames != int(dataset.get("NumberOfFrames") or 1):
        raise CrossDError(
            f"A multi-frame object must describe each frame: '{path}' describes {frames} of "
            f"{dataset.get('NumberOfFrames')}. It is damaged: copy it again."
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
