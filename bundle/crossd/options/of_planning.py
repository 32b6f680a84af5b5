"""Options of plan.json: what is looked at before anything is trained."""

from __future__ import annotations

from dataclasses import replace

from crossd.options.of_training import COLUMNS, LABELS
from crossd.options.option import Option
from crossd.options.shared import DEVICE, SERIES, START, TILT, VOLUME, VOLUME_TASK

PLAN = (
    Option("images", "path", None, "a folder of volumes, or the one that the paths in labels start from"),
    replace(LABELS, help="table of cases as for training; null: every volume below images, without classes"),
    *COLUMNS,
    Option("output_dir", "path", "$@bundle_root + '/output_plan'", "receives plan.yaml, report.html and cases.csv"),
    replace(
        START,
        default="efficientnet-lite0",
        optional=True,
        compared=False,
        help="what training starts from: name as efficientnet-lite0, or checkpoint",
    ),
    replace(VOLUME_TASK, default="multiclass"),
    Option("classes", "texts", None, "class names in order; null: found in labels"),
    Option("voxels", "integer", None, "of a window at most; null: 64³ on a CPU, 128³ on a GPU"),
    replace(SERIES, compared=False),
    replace(TILT, compared=False),
    replace(VOLUME, compared=False),
    Option("num_workers", "integer", 2, "cases that are read at a time"),
    DEVICE,
)
