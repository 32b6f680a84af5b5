"""Options of distill.json: a 3D network learns from frozen 2D views of volumes without labels."""

from __future__ import annotations

from dataclasses import replace

from crossd.options.of_probe import FROZEN
from crossd.options.of_training import CHANGES
from crossd.options.option import Option, with_defaults
from crossd.options.shared import CACHE_GB, EPOCHS, PROGRESS, RESUMED, SCORED, SKIP_UNREADABLE

_COMPARED = ("weights", "network_options", "fill", "series", "tilt", "volume")
_OWN = ("views", "batch_size")

DISTILL = (
    Option("volumes", ("path", "paths"), None, "3D volumes without labels: a folder, a .csv, or a list of these"),
    SKIP_UNREADABLE,
    Option("output_dir", "path", "$@bundle_root + '/output_distill'", "receives model.pt, metrics.csv, checkpoints"),
    *(replace(option, compared=option.name in _COMPARED) for option in FROZEN if option.name not in _OWN),
    Option("views", "texts", ["slices", "projections"], "2D views that teach: slices, projections", compared=True),
    Option("components", "integer", 256, "principal components of their features that are learned", compared=True),
    Option("live", "switch", False, "views of each volume as it is changed; false: as it is, once", compared=True),
    Option("volume_size", "integer", 40, "longest side of a volume as the 3D network gets it, voxels", compared=True),
    Option("val_fraction", "number", 0.1, "share of patients that validate", compared=True),
    *with_defaults(EPOCHS, epochs=2, batch_size=8, learning_rate=0.001, weight_decay=0.0),
    *with_defaults(CHANGES, flip_axes=[], affine_prob=0.0, intensity_prob=0.0),
    *SCORED,
    CACHE_GB,
    PROGRESS,
    *RESUMED,
)
