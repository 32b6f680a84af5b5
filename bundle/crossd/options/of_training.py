"""Options of train.json and evaluate.json, and what they share with those of masks."""

from __future__ import annotations

from dataclasses import replace

from crossd.options.option import Option
from crossd.options.shared import (
    AGGREGATE,
    BOOTSTRAP_SAMPLES,
    BUNDLE_MODEL,
    CACHE,
    CACHE_GB,
    CLASS_WEIGHTS,
    CLASSIFIER,
    DEVICE,
    EPOCHS,
    FILL,
    INTENSITY,
    LABEL_SMOOTHING,
    NETWORK,
    NORMALISATION,
    PLANE,
    RESUMED,
    ROI_SIZE,
    SCORED,
    SERIES,
    SKIP_UNREADABLE,
    SPACING,
    SPLIT_SEED,
    START,
    TASK,
    TILT,
    TRAINABLE,
    VOLUME,
    WINDOWS,
)

LABELS = Option("labels", "path", None, "table of cases: image (or image_1, …), label, case, patient, split")
CHANGES = (
    Option(
        "flip_axes",
        "integers",
        [2],
        "axes mirrored at random (0 depth, 1 height, 2 width); [] if classes are sides",
        compared=True,
    ),
    Option("affine_prob", "number", 0.5, "probability of a small rotation, scaling and shift", compared=True),
    Option("intensity_prob", "number", 0.3, "probability of each change of contrast, brightness, noise", compared=True),
)

TRAIN = (
    Option("images", "path", None, "folder that the paths in labels start from; null: the folder of labels"),
    LABELS,
    Option("output_dir", "path", "$@bundle_root + '/output'", "receives model.pt, datalist.csv and checkpoints"),
    replace(START, default=BUNDLE_MODEL, optional=True),
    FILL,
    replace(TASK, default="$'multiclass' if @options.labels is not None else @base.get('task', 'multiclass')"),
    Option("classes", "texts", None, "class names in order; null: found in labels"),
    Option(
        "negative_class",
        ("index", "text"),
        "$@base.get('negative_class') if @class_names == @base['class_names'] else None",
        "name or index of the class that means nothing found; null: there is none",
        optional=True,
    ),
    Option("split_fractions", "numbers", [0.7, 0.15, 0.15], "shares of train, val, test where labels have no split"),
    SPLIT_SEED,
    Option("allow_untested", "switch", False, "whether a class may be without test cases; false: an error"),
    SKIP_UNREADABLE,
    TRAINABLE,
    *EPOCHS,
    CLASS_WEIGHTS,
    LABEL_SMOOTHING,
    *SCORED,
    PLANE,
    SPACING,
    ROI_SIZE,
    INTENSITY,
    *NORMALISATION,
    replace(CLASSIFIER, default="@net", item=True),
    *NETWORK,
    *WINDOWS,
    *AGGREGATE,
    *CHANGES,
    SERIES,
    TILT,
    VOLUME,
    CACHE_GB,
    *CACHE,
    *RESUMED,
    DEVICE,
)

RECORDED_SPLITS = "$os.path.join(os.path.dirname(@options.weights), 'datalist.csv')"
EVALUATED = (
    Option("weights", "path", "$@options.output_dir + '/model.pt'", "trained model with its card", optional=True),
    Option("labels", "path", "@recorded_splits", "cases as for training; default: those of training", optional=True),
    Option(
        "recorded_splits",
        "path",
        RECORDED_SPLITS,
        "datalist.csv of the training; null: no earlier splits",
        optional=True,
    ),
    Option("split", "text", None, "train, val, test or all; null: test, or val where there is no test"),
    BOOTSTRAP_SAMPLES,
    Option("evaluation_dir", "path", "$@options.output_dir + '/evaluation'", "receives the report and metrics.json"),
)
EVALUATE = (
    *EVALUATED,
    replace(TASK, default="$@base['task']", help="task of the model; default: as its card says"),
    Option("classes", "texts", "$@base['class_names']", "class names; default: as the model's card says"),
    Option(
        "negative_class",
        ("index", "text"),
        "$@base['negative_class']",
        "class that means nothing found; default: as the model's card says",
        optional=True,
    ),
)
