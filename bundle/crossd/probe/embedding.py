"""Features for anyone: one row a case, for scikit-learn, R or a clinical model."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossd.data import find_cases
from crossd.data.delimited import write_table
from crossd.errors import CrossDError, counted
from crossd.files import replaced
from crossd.options import Options
from crossd.probe.features import FrozenFeatures, Seen
from crossd.probe.frozen import READING, SHOWN, VIEWS, frozen_network
from crossd.training.run_files import run_folder

logger = logging.getLogger(__name__)
SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class Embeddings:
    """Features of cases.

    Attributes:
        cases, sources: one of each per row.
        columns: names of the features, `<view>_<number>`.
        values: `(cases, features)`, float32.
        failed: by case why it could not be read.
    """

    cases: Sequence[str]
    sources: Sequence[str]
    columns: Sequence[str]
    values: np.ndarray
    failed: Mapping[str, str]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write one row a case: `case`, `source`, then the features.

        Args:
            path: `.csv`; or `.parquet`, where pyarrow is installed.

        Raises:
            CrossDError: for another ending, and for Parquet without pyarrow.
        """
        path = Path(path)
        if path.suffix not in SUFFIXES:
            raise CrossDError(f"Embeddings are written as {' or '.join(SUFFIXES)}, got {path}. Rename it.")
        if path.suffix == ".csv":
            said = zip(self.cases, self.sources, self.values, strict=True)
            rows = ([case, source, *(f"{value:.6g}" for value in row)] for case, source, row in said)
            write_table(path, ["case", "source", *self.columns], rows)
            return
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise CrossDError(
                f"Parquet files are written by pyarrow, which is not installed ({error}). Run: pip install pyarrow"
            ) from error
        columns = {"case": list(self.cases), "source": list(self.sources)}
        table = pyarrow.table({**columns, **dict(zip(self.columns, self.values.T, strict=True))})
        with replaced(path) as file:
            parquet.write_table(table, file)


def embed(
    images: str | os.PathLike[str],
    weights: str | None = "efficientnet-lite0",
    views: Sequence[str] = VIEWS,
    *,
    cache_dir: str | None = None,
    cache_dir_gb: float = 100,
    batch_size: int = 4,
    device: Any = "cpu",
    bundle_root: str = ".",
    fill: str = "mean",
    network_options: Mapping[str, Any] | None = None,
    series: str | Sequence[str] | None = None,
    tilt: str = "correct",
    volume: int | None = None,
    **shown: Any,
) -> Embeddings:
    """Features of volumes by frozen weights; nothing is trained.

    Args:
        images: what `crossd.data.find_cases` takes: a file, a folder, or a CSV with a column `image`.
        weights: name of the registry, a checkpoint file, or `"none"`.
        views: of `crossd.MultiView`: "slices", "projections", "volume".
        cache_dir: folder that keeps the features for later calls; None: none does.
        cache_dir_gb: GiB that it may hold.
        batch_size: cases of one shape in a pass.
        device: of torch.
        bundle_root: of a bundle, whose model may be meant.
        fill: what becomes of plain 2D kernels; see `crossd.load_pretrained`.
        network_options: further arguments of `crossd.MultiView`, such as `image_size`.
        series, tilt, volume: which part of a source is read; see `crossd.data.preprocessing`.
        shown: `plane`, `spacing`, `intensity`, `mean`, `std` of a card's `input`, where they are to be others than
            those of the weights and the usual spacing of the cases.

    Raises:
        CrossDError: for what cannot be found, read or built, and where no case can be read.

    >>> embed("no/such/folder")
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: ...
    """
    if unknown := [name for name in shown if name not in SHOWN]:
        raise CrossDError(f"embed takes {', '.join(SHOWN)} of a card's input; got {', '.join(unknown)}. Correct it.")
    cases = [case for case in find_cases(images, series, tilt) if not case.get("skipped")]
    reading: dict[str, Any] = {"series": series, "tilt": tilt, "volume": volume}
    readable = [case for case in cases if case.get("error") is None]
    if not readable:
        raise CrossDError(
            f"Some case must be readable, got none in {images}: {cases[0]['error'] if cases else 'no scan'}"
        )
    frozen = frozen_network(weights, bundle_root, readable, shown, reading, views, network_options, fill)
    read = FrozenFeatures(frozen, reading, cache_dir, cache_dir_gb, batch_size, device)
    seen, failed = read.of(cases)
    return _embeddings(cases, seen, failed)


def _embeddings(
    cases: Sequence[Mapping[str, Any]], seen: Sequence[Seen | None], failed: Mapping[int, str]
) -> Embeddings:
    done = [(case, one) for case, one in zip(cases, seen, strict=True) if one is not None]
    said = {str(cases[number]["case"]): why for number, why in failed.items()}
    if not done:
        raise CrossDError(f"Some case must be readable, got none of {len(cases)}: {next(iter(said.values()))}")
    columns = [f"{view}_{number:04}" for view, row in done[0][1].views.items() for number in range(len(row))]
    values = np.stack([np.concatenate([row.numpy() for row in one.views.values()]) for _, one in done])
    return Embeddings([str(c["case"]) for c, _ in done], [str(c["source"]) for c, _ in done], columns, values, said)


def run_embed(options: Options, bundle_root: str) -> Embeddings:
    """The run of `embed.json`: writes `embeddings.csv`, and `embeddings.parquet` where pyarrow is installed.

    What cannot be read is in `failed.csv`; the others are done, and the exit code is 2.
    """
    folder = run_folder(options.output_dir)
    if options.images is None:
        raise CrossDError("Features are those of volumes, got no images. Pass --images FOLDER, FILE or CSV.")
    found = embed(
        options.images,
        bundle_root=bundle_root,
        **options("weights", "views", "cache_dir", "cache_dir_gb", "batch_size", "device", "fill", "network_options"),
        **options(*READING, *SHOWN),
    )
    folder.mkdir(parents=True, exist_ok=True)
    found.write(folder / "embeddings.csv")
    try:
        found.write(folder / "embeddings.parquet")
    except CrossDError as error:
        logger.info("%s", error)
    (folder / "failed.csv").unlink(missing_ok=True)
    logger.info("%s of %d features are in %s", counted(len(found.cases), "case"), len(found.columns), folder)
    if found.failed:
        write_table(folder / "failed.csv", ["case", "reason"], found.failed.items())
        logger.warning("%s could not be read: see %s", counted(len(found.failed), "case"), folder / "failed.csv")
        raise SystemExit(2)
    return found
