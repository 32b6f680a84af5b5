"""Options that several configs have, written once."""

from __future__ import annotations

from crossd.options.option import Option

BUNDLE_MODEL = "$@bundle_root + '/models/model.pt'"
TILTS = ("correct", "refuse")
AGGREGATES = ("mean", "max", "top_k", "noisy_or")

DEVICE = Option(
    "device",
    "device",
    "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "cuda when there is one",
)
CACHE = (
    Option("cache_dir", "path", None, "folder that keeps preprocessed volumes on disk for the next run; null: none"),
    Option("cache_dir_gb", "number", 100, "GiB that this folder may hold"),
)
VOLUME = Option(
    "volume",
    "integer",
    None,
    "which volume of 4D files, counted from 0; null: FILE@NUMBER says it, or they are 3D",
    compared=True,
)
TILT = Option(
    "tilt",
    "choice",
    "correct",
    "DICOM series of a tilted gantry: corrected (resampled along the shear, and said) or refused (cannot be read)",
    compared=True,
    choices=TILTS,
)


def series(help: str) -> Option:
    """Which DICOM series are meant; configs differ in what happens to the others."""
    return Option("series", ("text", "texts"), None, help, compared=True)


WINDOWS = (
    Option("overlap", "number", 0.5, "of neighbouring windows, as a share of their size"),
    Option("sw_batch_size", "integer", 4, "windows in one pass of the network"),
)
AGGREGATE = (
    Option("aggregate", "choice", "mean", "of windows: what becomes of their probabilities", choices=AGGREGATES),
    Option("top_k", "integer", 3, "windows that top_k averages"),
)
