"""Options of train.json and evaluate.json, and what they share with those of masks."""

from __future__ import annotations

from dataclasses import replace

from crossd.options import shared
from crossd.options.option import Option, compared

LABELS = Option("labels", "path", None, "table of cases, CSV or .xlsx: image (image_1, …), label, case, patient, split")
COLUMNS = (
    Option("image", "texts", None, "what labels call the column image; several: one per channel"),
    Option("label", "text", None, "what labels call the column label; null: label"),
    Option("patient", "text", None, "what labels call the column patient; null: patient, where it is there"),
)
CHANGES = compared(
    Option(
        "flip_axes", "integers", [2], "axes mirrored at random (0 depth, 1 height, 2 width); [] if classes are sides"
    ),
    Option("affine_prob", "number", 0.5, "probability of a small rotation, scaling and shift"),
    Option("intensity_prob", "number", 0.3, "probability of each change of contrast, brightness, noise"),
)
FOLDS = (
    Option("folds", "integer", None, "cross-validation by patient, and a model of all folds; null: one training"),
    Option("repeats", "integer", 1, "of the cross-validation, each parted anew"),
)
OPERATING_POINT = Option(
    "operating_point",
    "text",
    "youden",
    "threshold, on validation: youden, sensitivity:X, specificity:X or costs:X",
    optional=True,
)
CALIBRATION = Option(
    "calibration",
    "choice",
    "temperature",
    "of probabilities, on validation: temperature, isotonic (many cases); null: none",
    compared=True,
    choices=("temperature", "isotonic"),
    optional=True,
)

TRAIN = (
    Option("images", "path", None, "folder that the paths in labels start from; null: the folder of labels"),
    LABELS,
    *COLUMNS,
    Option(
        "output_dir", "path", "$@bundle_root + '/output'", "receives model.pt, training.html, datalist.csv, checkpoints"
    ),
    replace(shared.START, default=shared.BUNDLE_MODEL, optional=True),
    shared.FILL,
    replace(
        shared.VOLUME_TASK, default="$'multiclass' if @options.labels is not None else @base.get('task', 'multiclass')"
    ),
    Option("classes", "texts", None, "class names in order; null: found in labels"),
    Option(
        "negative_class",
        ("index", "text"),
        "$@base.get('negative_class') if @class_names == @base['class_names'] else None",
        "name or index of the class that means nothing found; null: there is none",
        optional=True,
    ),
    OPERATING_POINT,
    CALIBRATION,
    Option("split_fractions", "numbers", [0.7, 0.15, 0.15], "shares of train, val, test where labels have no split"),
    shared.SPLIT_SEED,
    Option("allow_untested", "switch", False, "whether a class may be without test cases; false: an error"),
    shared.SKIP_UNREADABLE,
    *FOLDS,
    shared.TRAINABLE,
    *compared(Option("head_epochs", "integer", 0, "first epochs, in which the head is trained alone")),
    *shared.EPOCHS,
    *compared(Option("layer_decay", "number", 1.0, "learning rate of a stage over that of the next deeper one")),
    shared.CLASS_WEIGHTS,
    shared.LABEL_SMOOTHING,
    *shared.SCORED,
    shared.PLANE,
    shared.SPACING,
    replace(shared.ROI_SIZE, optional=True, help="window, voxels, depth height width; null: the whole volume"),
    shared.INTENSITY,
    *shared.NORMALISATION,
    replace(shared.CLASSIFIER, default="@net", item=True),
    *shared.NETWORK,
    *shared.WINDOWS,
    *shared.AGGREGATE,
    *CHANGES,
    shared.SERIES,
    shared.TILT,
    shared.VOLUME,
    shared.CACHE_GB,
    *shared.CACHE,
    *shared.RESUMED,
    shared.DEVICE,
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
    shared.BOOTSTRAP_SAMPLES,
    Option("evaluation_dir", "path", "$@options.output_dir + '/evaluation'", "receives the report and metrics.json"),
)
EVALUATE = (
    *EVALUATED,
    shared.FLIPS,
    Option("prevalence", "number", None, "share with the finding where the model is used, for PPV and NPV there"),
    Option("by", "texts", None, "further columns of labels, as sex or age, whose groups are told apart"),
    replace(shared.VOLUME_TASK, default="$@base['task']", help="task of the model; default: as its card says"),
    Option("classes", "texts", "$@base['class_names']", "class names; default: as the model's card says"),
    Option(
        "negative_class",
        ("index", "text"),
        "$@base['negative_class']",
        "class that means nothing found; default: as the model's card says",
        optional=True,
    ),
)
