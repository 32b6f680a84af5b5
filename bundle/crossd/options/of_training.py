"""Options of train.json and evaluate.json, and what they share with those of masks."""

from __future__ import annotations

from dataclasses import replace

from crossd.options.option import Option
from crossd.options.shared import (
    AGGREGATE,
    BUNDLE_MODEL,
    CACHE,
    CLASS_WEIGHTS,
    DEVICE,
    EPOCHS,
    LABEL_SMOOTHING,
    NETWORK,
    RESUMED,
    SCORED,
    SKIP_UNREADABLE,
    START,
    TASKS,
    TILT,
    TRAINABLE,
    VOLUME,
    WINDOWS,
    series,
)

IMAGES = Option(
    "images",
    "path",
    None,
    "folder that the paths in labels.csv start from (default: the folder of labels.csv)",
)
LABELS = Option(
    "labels",
    "path",
    None,
    "labels.csv: columns image (or image_1, image_2, … per channel) and label, optionally case, patient, split "
    "(train, val, test)",
)
WEIGHTS = replace(
    START,
    default=BUNDLE_MODEL,
    help="what to start from: any checkpoint crossd.load_pretrained knows; none: random weights; default: the bundle's "
    "own model",
    optional=True,
)
CASES = (
    Option(
        "split_fractions",
        "numbers",
        [0.7, 0.15, 0.15],
        "shares of train, val and test, by patient and stratified by class, where there is no column split",
    ),
    Option("split_seed", "integer", 0, "of that split"),
    SKIP_UNREADABLE,
)
SEEN = (
    Option(
        "plane",
        "choice",
        "$@base['input']['plane']",
        "which plane the depth slices are",
        choices=("axial", "coronal", "sagittal", "acquired"),
    ),
    Option(
        "spacing",
        "numbers",
        "$@base['input']['spacing']",
        "millimetres along depth, height, width that volumes are resampled to; null: as they are",
        optional=True,
    ),
    Option(
        "roi_size",
        "integers",
        "$@base['input']['roi_size']",
        "voxels of the window along depth, height, width: cropped at random in training, slid in validation",
    ),
    Option(
        "intensity",
        "mapping",
        "$@base['input']['intensity']",
        "mode window, percentile or range, with lower and upper, becomes 0 to 1",
    ),
    Option("mean", ("number", "numbers"), "$@base['input']['mean']", "subtracted after that"),
    Option("std", ("number", "numbers"), "$@base['input']['std']", "divided by after that"),
)
CHANGES = (
    Option(
        "flip_axes",
        "integers",
        [2],
        "axes mirrored at random in training, 0 depth, 1 height, 2 width (left-right in axial slices); [] where "
        "classes are sides",
        compared=True,
    ),
    Option(
        "affine_prob", "number", 0.5, "probability of a small rotation, scaling and shift in training", compared=True
    ),
    Option(
        "intensity_prob",
        "number",
        0.3,
        "probability of each small change of contrast, brightness and noise in training",
        compared=True,
    ),
)
READING = (
    series(
        "which DICOM series is meant where an image is a folder with several, by description (* and ? as in file "
        "names), modality or UID"
    ),
    TILT,
    VOLUME,
    Option(
        "cache_gb",
        "number",
        4,
        "memory for preprocessed volumes, of each process; what does not fit is read again in every epoch",
    ),
    *CACHE,
)

TRAIN = (
    IMAGES,
    LABELS,
    Option(
        "output_dir",
        "path",
        "$@bundle_root + '/output'",
        "receives model.pt (the best epoch), datalist.csv (the splits), checkpoints to resume from and tensorboard",
    ),
    WEIGHTS,
    Option(
        "task",
        "choice",
        "$'multiclass' if @options.labels is not None else @base.get('task', 'multiclass')",
        "multiclass: one label per case. multilabel: labels joined by ; (or none), or one 0/1 column per class",
        choices=TASKS,
    ),
    Option("classes", "texts", None, "class names in order; null: found in labels.csv"),
    Option(
        "negative_class",
        ("index", "text"),
        "$@base.get('negative_class') if @class_names == @base['class_names'] else None",
        "name or index of the class that means absent, null: there is none; see aggregate",
        optional=True,
    ),
    *CASES,
    TRAINABLE,
    *EPOCHS,
    CLASS_WEIGHTS,
    LABEL_SMOOTHING,
    *SCORED,
    *SEEN,
    *NETWORK,
    *WINDOWS,
    *AGGREGATE,
    *CHANGES,
    *READING,
    *RESUMED,
    DEVICE,
)

EVALUATED = (
    Option(
        "weights",
        "path",
        "$@options.output_dir + '/model.pt'",
        "the trained model, with its card; default: model.pt in output_dir",
        optional=True,
    ),
    Option(
        "labels",
        "path",
        "@recorded_splits",
        "cases as for training; default: datalist.csv, which training wrote beside the model",
        optional=True,
    ),
    Option(
        "recorded_splits",
        "path",
        "$os.path.join(os.path.dirname(@options.weights), 'datalist.csv')",
        "datalist.csv, which training wrote beside the model; null: no earlier run has divided the cases",
        optional=True,
    ),
    Option(
        "split",
        "text",
        None,
        "train, val, test or all; null: test, or val where there is no test. A case without a split has the one "
        "training gave it, and one that training did not know is a test case",
    ),
    Option("bootstrap_samples", "integer", 1000, "draws of the 95 % intervals"),
)
EVALUATE = (
    *EVALUATED,
    Option(
        "evaluation_dir",
        "path",
        "$@options.output_dir + '/evaluation'",
        "receives the report; default: evaluation in output_dir",
    ),
    Option("task", "choice", "$@base['task']", "that of the model's card", choices=TASKS),
    Option("classes", "texts", "$@base['class_names']", "those of the model's card"),
    Option("negative_class", ("index", "text"), "$@base['negative_class']", "that of the model's card", optional=True),
)
