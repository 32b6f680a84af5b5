"""Options of probe.json and embed.json: features of frozen weights, and a regression on them."""

from __future__ import annotations

from dataclasses import replace

from crossd.options.of_training import COLUMNS, LABELS
from crossd.options.option import Option
from crossd.options.shared import (
    BOOTSTRAP_SAMPLES,
    CACHE,
    CLASS_WEIGHTS,
    DEVICE,
    INTENSITY,
    NORMALISATION,
    PLANE,
    SERIES,
    SKIP_UNREADABLE,
    SPACING,
    START,
    TILT,
    VOLUME,
    VOLUME_TASK,
)

FROZEN = (
    replace(
        START,
        default="efficientnet-lite0",
        optional=True,
        compared=False,
        help="frozen weights: name as efficientnet-lite0, or checkpoint; none: random",
    ),
    Option("views", "texts", ["slices", "projections", "volume"], "what is looked at of a volume"),
    Option("network_options", "mapping", {}, "further arguments of MultiView, as {'image_size':128}"),
    Option(
        "fill",
        "choice",
        "mean",
        "how plain 2D kernels become 3D ones",
        choices=("mean", "tomographic", "centre"),
    ),
    replace(PLANE, default=None, help="plane in which depth slices lie; null: as for the weights"),
    replace(SPACING, default=None, help="spacing volumes are resampled to, mm; null: the usual one of the cases"),
    replace(INTENSITY, default=None, help="mode, lower, upper, scaled to 0 to 1; null: as for the weights"),
    *(
        replace(one, default=None, help=f"{one.name} of intensities in [0, 1]; null: of the weights")
        for one in NORMALISATION
    ),
    replace(SERIES, compared=False),
    replace(TILT, compared=False),
    replace(VOLUME, compared=False),
    Option("batch_size", "integer", 4, "cases of one shape in a pass of the network"),
    replace(CACHE[0], default="$@output_dir + '/cache'", optional=True, help="folder that keeps features; null: none"),
    CACHE[1],
    DEVICE,
)

PROBE = (
    Option("images", "path", None, "folder that the paths in labels start from; null: the folder of labels"),
    LABELS,
    *COLUMNS,
    Option("output_dir", "path", "$@bundle_root + '/output_probe'", "receives model.pt, report.html and tables"),
    replace(VOLUME_TASK, default="multiclass"),
    Option("classes", "texts", None, "class names in order; null: found in labels"),
    Option("negative_class", ("index", "text"), None, "class that means nothing found; null: there is none"),
    Option("allow_untested", "switch", False, "whether a class may be without test cases; false: an error"),
    SKIP_UNREADABLE,
    Option("covariates", "texts", None, "columns of labels, as age,sex: a baseline, and tried beside each view"),
    Option("unlabelled", "path", None, "volumes without labels: folder or CSV, for principal components; null: none"),
    Option("components", "integer", 256, "principal components of the unlabelled volumes, at most"),
    Option("folds", "integer", 5, "folds of the cross-validations that choose and that measure"),
    Option("repeats", "integer", 3, "repeats of the one that chooses, of less than 500 cases"),
    Option("strengths", "numbers", [1e-05, 0.0001, 0.001, 0.01, 0.1, 1.0], "values of C from which one is chosen"),
    replace(CLASS_WEIGHTS, compared=False),
    Option("seed", "integer", 0, "seed of the folds"),
    BOOTSTRAP_SAMPLES,
    *FROZEN,
)

EMBED = (
    Option("images", "path", None, "a file, a folder of volumes or DICOM series, or a CSV with a column image"),
    Option("output_dir", "path", "$@bundle_root + '/output_embed'", "receives embeddings.csv and .parquet"),
    *FROZEN,
)
