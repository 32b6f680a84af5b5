"""What a 2D run is given and leaves behind: the card of its model, and which images were in which split."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossd.data.images.decoding import CHANNELS
from crossd.errors import CrossDError
from crossd.training.cards import model_card
from crossd.training.run_files import write_whole

logger = logging.getLogger(__name__)


def image_card(
    base: Mapping[str, Any],
    class_names: Sequence[str],
    network: Mapping[str, Any],
    channels: int,
    image_size: int,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    images: str | Sequence[str],
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

    Raises:
        CrossDError: when an entry breaks a rule.

    >>> from crossd.training.cards import FROM_SCRATCH_2D
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
    seen = {
        "channels": CHANNELS[channels],
        "plane": "acquired",
        "spacing": None,
        "roi_size": [1, image_size, image_size],
        "intensity": {"mode": "range"},
        "mean": mean,
        "std": std,
    }
    names = ", ".join(Path(source).name for source in sources)
    return model_card("multiclass", class_names, {**arguments, "spatial_dims": 2}, seen, data=names)


def write_image_lists(output_dir: str | None, corpus: dict[str, Any]) -> None:
    """Write `images.csv` (source, image, label, patient, split), and `skipped.csv` (source, image, reason) if need be.

    Args:
        output_dir: of the run; made if need be.
        corpus: what `crossd.data.images.read_corpus` returns.

    Raises:
        CrossDError: without a folder.
    """
    if output_dir is None:
        raise CrossDError("Training needs a folder for what it writes, got none. Pass --output_dir DIR.")
    _write(Path(output_dir) / "images.csv", ["source", "image", "label", "patient", "split"], corpus["rows"])
    skipped = Path(output_dir) / "skipped.csv"
    if corpus["skipped"]:
        _write(skipped, ["source", "image", "reason"], corpus["skipped"])
        logger.warning("%d images cannot be read and are left out: see %s", len(corpus["skipped"]), skipped)
    else:
        skipped.unlink(missing_ok=True)


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, text.getvalue())
