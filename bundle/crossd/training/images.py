"""What a 2D run is given and leaves behind: the card of its model, and which images were in which split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossd.cards.from_data import model_card
from crossd.data.class_counts import class_counts, tell_counts, write_counts
from crossd.data.delimited import write_table
from crossd.data.images.image_files import CHANNELS
from crossd.errors import CrossDError
from crossd.processes import rank
from crossd.pseudo3d import Pseudo3D, window_grid
from crossd.training.run_files import run_folder, write_skipped


def image_card(
    base: Mapping[str, Any],
    class_names: Sequence[str],
    network: Mapping[str, Any],
    channels: int,
    image_size: int,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    images: str | Sequence[str],
    task: str = "multiclass",
    pseudo_3d: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The card of a 2D model, which fine-tuning takes its network and normalisation from.

    Args:
        base: what `crossd.training.base_card` says of the weights that the run starts from.
        class_names: in the order of the network's outputs.
        network: what the run says of it; `conv` is left out of the card where it is `"crossd"`.
        channels: 1 or 3.
        image_size: sides of the squares it sees, stored as a window of depth 1.
        mean, std: of values in [0, 1].
        images: the sources, whose names become `data`.
        task: `"multiclass"` or `"multilabel"`.
        pseudo_3d: arguments of `crossd.Pseudo3D` where a 3D network sees the images by it. They and the image's size
            are in the card's `input`, whose window is that of the pseudo-3D volume; inference on volumes refuses it.

    Raises:
        CrossDError: when an entry breaks a rule.

    >>> from crossd.cards.from_weights import FROM_SCRATCH_2D
    >>> card = image_card(FROM_SCRATCH_2D, ["ct", "mr"], {"width": 8}, 1, 64, 0.3162, 0.3213, ["/data/mednist.zip"])
    >>> card["network"]["spatial_dims"], card["input"]["roi_size"], card["data"]
    (2, [1, 64, 64], 'mednist.zip')
    """
    arguments = {**base["network"], **network}
    if arguments.get("conv") == "crossd":
        del arguments["conv"]
    sources = [images] if isinstance(images, (str, Path)) else list(images)
    if isinstance(image_size, bool) or not isinstance(image_size, int) or image_size < 1:
        raise CrossDError(f"image_size must be a whole number of pixels, 1 or more, got {image_size!r}.")
    roi_size = [1, image_size, image_size]
    further = {}
    if pseudo_3d is not None:
        windows = checked_windows(pseudo_3d)
        roi_size = [windows["kernel_size"] ** 2, *window_grid((image_size, image_size), **windows)]
        further = {"pseudo_3d": {**windows, "image_size": image_size}}
    seen = {
        "channels": CHANNELS[channels],
        "plane": "acquired",
        "spacing": None,
        "roi_size": roi_size,
        "intensity": {"mode": "range"},
        "mean": mean,
        "std": std,
        **further,
    }
    names = ", ".join(Path(source).name for source in sources)
    dims = 2 if pseudo_3d is None else 3
    return model_card(task, class_names, {**arguments, "spatial_dims": dims}, seen, data=names)


def checked_windows(pseudo_3d: Mapping[str, int]) -> dict[str, int]:
    """The windows of `crossd.Pseudo3D`, with its defaults for what is not said.

    >>> checked_windows({"kernel_size": 8})
    {'kernel_size': 8, 'stride': 2, 'padding': 1}
    """
    known = {"kernel_size", "stride", "padding"}
    if not isinstance(pseudo_3d, Mapping) or not set(pseudo_3d) <= known:
        raise CrossDError(
            f"pseudo3d holds {', '.join(sorted(known))} of crossd.Pseudo3D, or is null; got {pseudo_3d!r}. Example: "
            '--pseudo3d \'{"kernel_size": 4, "stride": 2, "padding": 1}\'.'
        )
    options: dict[str, Any] = dict(pseudo_3d)
    return dict(Pseudo3D(**options).windows)


def write_image_lists(output_dir: str | None, corpus: dict[str, Any]) -> None:
    """Write `images.csv` (source, image, label, patient, split), and `skipped.csv` (source, image, reason) if need be.

    And tell, and write to `classes.csv`, how many images of each class there are. Of several processes the first does.

    Args:
        corpus: what `crossd.data.images.read_corpus` returns.

    Raises:
        CrossDError: without a folder.
    """
    folder = run_folder(output_dir)
    if rank() == 0:
        write_table(folder / "images.csv", ("source", "image", "label", "patient", "split"), corpus["rows"])
        write_skipped(folder / "skipped.csv", corpus["skipped"])
        labels = {split: [item["label"] for item in corpus[split]] for split in ("train", "val")}
        counts = class_counts(corpus["class_names"], labels)
        write_counts(folder / "classes.csv", counts)
        tell_counts(counts, "the images")
