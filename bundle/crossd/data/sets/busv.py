"""BUSV: breast ultrasound videos, the lesion benign or malignant; frames become the depth of a volume.

Source: Lin et al., MICCAI 2022, "Miccai 2022 BUV Dataset" of https://github.com/jhl-Det/CVA-Net. Layout:
`rawframes/{benign,malignant}/<video>/000000.png …`, and the detection annotations `imagenet_vid_train_15frames.json`
(149 videos) and `imagenet_vid_val.json` (37), whose frames' `file_name` is `<class>/<video>/<frame>.png`. 149 + 37 are
the paper's 186; on disk are 188. The videos of the val file, on which the authors report, become the test cases.

Known faults. By the release's errata, as users of it quote them, benign/x66ef02e7f1b9a0ef is a copy of a malignant
video, and two benign videos are malignant ones of the same patient as two others. Users also found that
benign/x1282311c38f808f nearly repeats malignant/x9c1c965d274c457 of the val file. Compare the frames where it matters.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from crossd.data.sets.array_files import ArrayFiles
from crossd.data.sets.facts import DatasetFacts, Found, PaperRow, ReleasedCase
from crossd.errors import CrossDError

FACTS = DatasetFacts(
    name="busv",
    title="BUSV (Miccai 2022 BUV Dataset)",
    task="breast lesion, ultrasound video",
    address="https://github.com/jhl-Det/CVA-Net",
    licence="for research, not stated otherwise",
    class_names=("benign", "malignant"),
    meaning="the lesion in the video",
    get="Download the archive from the link in the README there (Baidu) and unpack it into --root.",
    count=186,
    preset="busv.yaml",
    paper=PaperRow("V", 186, (1, 96, 96, 96), (0, 255), 2),
)
COPIES = ("benign/x66ef02e7f1b9a0ef", "benign/x1282311c38f808f")
MALIGNANT = ("benign/x63c9ba1377f35bf6", "benign/x5a1c46ec6377e946")
ONE_PATIENT = (*MALIGNANT, "malignant/2390fbea047347b", "malignant/7a39ab5d4970bf89")
_SPLITS = {"imagenet_vid_train_15frames.json": "train", "imagenet_vid_val.json": "test"}


def find_busv(
    root: str | os.PathLike[str], output_dir: str | os.PathLike[str], *, size: int = 96, keep_excluded: bool = False
) -> Found:
    """Write each video as a grey NIfTI volume of `size`³ voxels.

    Args:
        root: holds `rawframes`, at its top or one folder down, and the two JSON files.
        output_dir: receives `images/<class>_<video>.nii.gz`, `(frame, row, column)`.
        size: of the volume: frames are scaled to size × size, the video to so many frames.
        keep_excluded: keep the known copies, and the labels as they are in the folders.
    """
    root = Path(root)
    top = next((folder for folder in (root, *sorted(root.glob("*"))) if (folder / "rawframes").is_dir()), None)
    if top is None:
        raise FACTS.missing("the folders rawframes/benign and rawframes/malignant", root)
    videos = {
        f"{p.parent.name}/{p.name}": p for c in FACTS.class_names for p in sorted((top / "rawframes" / c).glob("*"))
    }
    splits = _splits(top)
    notes = []
    if not splits:
        notes.append("No JSON file with the official split is here: videos are split at random, by known patient.")
    elif extra := sorted(set(videos) - set(splits)):
        notes.append(f"{len(extra)} videos are in neither JSON file and left out: {', '.join(extra[:20])}.")
    used = [name for name in videos if (not splits or name in splits) and (keep_excluded or name not in COPIES)]
    if not keep_excluded:
        notes += [f"{name} is left out: it is a copy of another video." for name in COPIES if name in videos]
        tested = any(splits.get(name) == "test" for name in ONE_PATIENT)
        moved = [name for name in used if tested and name in ONE_PATIENT and splits[name] == "train"]
        notes += [f"{name} is left out of training: its patient is tested." for name in moved]
        used = [name for name in used if name not in moved]
    files, cases = ArrayFiles(Path(output_dir)), []
    for name in used:
        images = files.write_volume(name.replace("/", "_"), _volume(videos[name], size)[None])
        label = "malignant" if name in MALIGNANT and not keep_excluded else name.split("/")[0]
        patient = "four videos" if name in ONE_PATIENT and not keep_excluded else name
        cases.append(ReleasedCase(images, label, patient, splits.get(name, "")))
    if not cases:
        raise FACTS.missing("the folders of the videos with .png frames", top)
    return Found(cases, (1, size, size, size), files.value_range, notes)


def _splits(top: Path) -> dict[str, str]:
    """The split of each `<class>/<video>` in the JSON files; empty without them."""
    splits: dict[str, str] = {}
    for name, split in _SPLITS.items():
        path = next((path for path in (top / name, top / "annotations" / name) if path.is_file()), None)
        if path is None:
            continue
        try:
            frames = json.loads(path.read_text(encoding="utf-8"))["images"]
            splits |= {frame["file_name"].replace("\\", "/").rsplit("/", 1)[0]: split for frame in frames}
        except (ValueError, KeyError, TypeError) as error:
            raise CrossDError(
                f"A JSON file of BUSV has `images` with a `file_name` each, {path} has not ({error}). Unpack it again."
            ) from error
    return splits


def _volume(folder: Path, size: int) -> np.ndarray:
    """A video as uint8 `(frame, row, column)` of size³: each frame scaled without aliasing, then the frames."""
    import torch
    from PIL import Image

    paths = sorted(
        path for path in folder.glob("*") if path.suffix.lower() in (".png", ".jpg") and path.stem[:1] != "."
    )
    if not paths:
        raise CrossDError(f"A video is a folder of .png frames, {folder} has none. Unpack it again.")
    frames = []
    for path in paths:
        with Image.open(path) as image:
            frames.append(np.asarray(image.convert("L").resize((size, size), Image.Resampling.BILINEAR)))
    stacked = torch.from_numpy(np.stack(frames)).float().reshape(1, 1, len(frames), size * size)
    scaled = torch.nn.functional.interpolate(stacked, (size, size * size), mode="bilinear", antialias=True)
    return scaled.reshape(size, size, size).round().clamp(0, 255).to(torch.uint8).numpy()
