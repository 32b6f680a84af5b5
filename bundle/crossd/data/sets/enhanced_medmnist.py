"""The Cross-D Conv paper's own files, Enhanced-MedMNIST: one .npz a set with `images` and `labels`, and no split.

Source: https://huggingface.co/datasets/convergedmachine/Enhanced-MedMNIST (brats21_96.npz, busv_96.npz, mosmed_128.npz,
bloodmnist_224.npz, …). The arrays come in several layouts, told apart by their shape:

    volumes  (N, D, H, W)   (N, C, D, H, W)   (N, D, H, W, C)   with C = 1, 2 or 3
    images   (N, H, W)      (N, 3, H, W)      (N, H, W, 3)

as uint8 or floating point. The files say neither what a label number means nor which cases are of one patient; labels
stay numbers. The checksums are not published in text, so nothing is downloaded here.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from crossd.data.npz_arrays import NpzArray, load_small, npz_array, npz_keys
from crossd.data.sets.array_files import ArrayFiles
from crossd.data.sets.brats21 import FACTS as BRATS21
from crossd.data.sets.busv import FACTS as BUSV
from crossd.data.sets.facts import DatasetFacts, Found, PaperRow, ReleasedCase
from crossd.data.sets.ixi import FACTS as IXI
from crossd.data.sets.lung_adenocarcinoma import FACTS as LUNG
from crossd.data.sets.medmnist import PAPER as MEDMNIST
from crossd.data.sets.mosmed import FACTS as MOSMED
from crossd.errors import CrossDError, one_of

FACTS = DatasetFacts(
    name="enhanced-medmnist",
    title="Enhanced-MedMNIST",
    task="the files that the paper was evaluated on",
    address="https://huggingface.co/datasets/convergedmachine/Enhanced-MedMNIST",
    licence="not stated; that of each source",
    class_names=(),
    meaning="Not named in the files: labels stay numbers. brats21's are MGMT methylation, not the presence of a tumour",
    get="Download one of its .npz files into --root, and name it with --subset, for instance --subset brats21_96.",
    preset="enhanced-medmnist.yaml",
)
PAPER = {  # by the beginning of the file's name
    "brats21": BRATS21.paper,
    "busv": BUSV.paper,
    "mosmed": MOSMED.paper,
    "lung": LUNG.paper,
    "ixi": IXI.paper,
    "brainmri": PaperRow("IV", 1600, (224, 224, 3), (0, 255), 23),
    "braintumor": PaperRow("IV", 3064, (224, 224, 3), (0, 255), 3),
    "breastcancer": PaperRow("IV", 1875, (224, 224, 3), (0, 255), 2),
    **MEDMNIST,
}
_AXES = {"DHW": (0, 1, 2), "HWD": (2, 0, 1), "WHD": (2, 1, 0)}  # stored order → where depth, height, width are
_MOST_CHANNELS = 3


def find_enhanced_medmnist(
    root: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    subset: str | None = None,
    axes: str | None = None,
) -> Found:
    """Write the volumes of a file as NIfTI, one for each channel; images as PNG.

    Args:
        root: the folder that holds the file.
        output_dir: receives `images/<number>[_<channel>].nii.gz`.
        subset: name of the file without `.npz`; not needed where there is one file only.
        axes: order of the spatial axes in the file, "DHW", "HWD" or "WHD"; by default "DHW", and "HWD" for mosmed,
            whose volumes are 128 × 128 × 64.
    """
    path = _file(Path(root), subset)
    axes = one_of("axes", axes or ("HWD" if path.stem.startswith("mosmed") else "DHW"), list(_AXES))
    missing = [key for key in ("images", "labels") if key not in npz_keys(path)]
    if missing:
        raise CrossDError(
            f"A file of Enhanced-MedMNIST holds the arrays images and labels; {path.name} lacks {', '.join(missing)} "
            f"and has {', '.join(npz_keys(path))}. For a file with train_images, name the MedMNIST set with --dataset."
        )
    images, labels = npz_array(path, "images"), load_small(path, "labels").reshape(-1)
    if images.shape[0] != len(labels):
        raise CrossDError(
            f"Every image has a label, {path.name} has {images.shape[0]} and {len(labels)}. Copy it again."
        )
    volumes, channel_axis = layout(images)
    files, cases = ArrayFiles(Path(output_dir)), []
    size: tuple[int, ...] = ()
    for index, (values, label) in enumerate(zip(images.rows(), labels, strict=True)):
        name = f"{index:05d}"
        if volumes:
            channels = values[None] if channel_axis is None else np.moveaxis(values, channel_axis, 0)
            size = channels.shape  # as stored, which is as the paper has it
            written = files.write_volume(name, channels.transpose(0, *(1 + axis for axis in _AXES[axes])))
        else:
            image = values if channel_axis is None else np.moveaxis(values, channel_axis, -1)
            written, size = files.write_image(name, image), (*image.shape, 1)[:3]
        cases.append(ReleasedCase(written, f"{label:g}" if labels.dtype.kind in "iuf" else str(label)))
    note = "no patients are named: cases of one patient may be in several splits"
    paper = next((row for start, row in PAPER.items() if path.stem.startswith(start)), None)
    column = "image" if volumes else "filename"
    return Found(cases, size, files.value_range, [f"{path.name}: {note}."], paper=paper, image_column=column)


def layout(images: NpzArray) -> tuple[bool, int | None]:
    """Whether the rows are volumes, and the axis of the channels in a row.

    >>> layout(NpzArray(Path("a.npz"), "images", (585, 3, 96, 96, 96), np.dtype("f8")))
    (True, 0)
    >>> layout(NpzArray(Path("a.npz"), "images", (1600, 224, 224, 3), np.dtype("u1")))
    (False, 2)
    """
    row = images.shape[1:]
    if len(row) == 2:
        return False, None
    channel_axes = [axis for axis in (0, len(row) - 1) if row[axis] <= _MOST_CHANNELS]
    if len(row) == 3:  # (D, H, W), or an image with channels
        return (True, None) if not channel_axes else (False, channel_axes[0])
    if len(row) == 4 and channel_axes:
        return True, channel_axes[0]
    raise CrossDError(
        "images of Enhanced-MedMNIST are (N, D, H, W), (N, C, D, H, W), (N, D, H, W, C), (N, H, W) or (N, H, W, 3) "
        f"with up to {_MOST_CHANNELS} channels; {images.path.name} has shape {images.shape}. Save it again like that."
    )


def _file(root: Path, subset: str | None) -> Path:
    found = sorted(root.glob("*.npz"))
    if subset is None and len(found) == 1:
        return found[0]
    path = root / f"{(subset or '').removesuffix('.npz')}.npz"
    if path not in found:
        names = ", ".join(file.stem for file in found) or "no .npz file"
        raise FACTS.missing(f"one file, named by --subset (got {subset}; there: {names})", root)
    return path
