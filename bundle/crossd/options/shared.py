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

# Of training, on images and on volumes
TASKS = ("multiclass", "multilabel")
TRAINABLE = Option(
    "trainable",
    "text",
    "all",
    "head: the last layer only, batch norms use their stored statistics. norms: weak probing, the last layer and all "
    "norms, which use and update batch statistics. all: everything",
    compared=True,
)
IMAGE_ROOT = Option(
    "image_root",
    "path",
    None,
    "folder that the names in a .csv of images start from (default: its folder, or the one above)",
)
START = Option(
    "weights",
    "path",
    None,
    "what to start from: any checkpoint crossd.load_pretrained knows, 2D or 3D; none: random weights",
    compared=True,
)
SKIP_UNREADABLE = Option(
    "skip_unreadable",
    "switch",
    False,
    "true: leave cases that cannot be read out and list them in skipped.csv; false: they are an error",
)
CLASS_WEIGHTS = Option(
    "class_weights",
    ("choice", "numbers"),
    "balanced",
    "balanced: every class counts the same; null: every case does; or a number per class",
    compared=True,
    choices=("balanced",),
    optional=True,
)
LABEL_SMOOTHING = Option("label_smoothing", "number", 0.0, "of the cross-entropy, multiclass only", compared=True)
NETWORK = (
    Option("depth", "integer", "$@base['network']['depth']", "of the ResNet: 10, 18, 34, 50 or 101"),
    Option("width", "integer", "$@base['network']['width']", "channels of its first stage"),
    Option(
        "network_options",
        "mapping",
        {},
        "further arguments of crossd.CrossDResNet: alignment, motion, view, max_angle, conv1_t_size, conv1_t_stride, "
        "no_max_pool",
    ),
)
EPOCHS = (
    Option("epochs", "integer", 50, "how often all training cases are seen", compared=True),
    Option("batch_size", "integer", 8, "training cases per step and process", compared=True),
    Option(
        "learning_rate", "number", 0.001, "of AdamW after warm-up; it then falls to 0 along a cosine", compared=True
    ),
    Option("warmup_epochs", "integer", 2, "over which the learning rate rises from a tenth", compared=True),
    Option("weight_decay", "number", 0.01, "of AdamW", compared=True),
)
SCORED = (
    Option(
        "patience", "integer", None, "stop after so many validations without a better score; null: never", compared=True
    ),
    Option("val_interval", "integer", 1, "validate every so many epochs", compared=True),
)
RESUMED = (
    Option(
        "resume",
        "switch",
        True,
        "go on where a run in output_dir was ended (the settings must be the same); false: start again",
    ),
    Option(
        "seed",
        "integer",
        0,
        "of initial weights, order and augmentation; the same seed gives the same model",
        compared=True,
    ),
    Option("num_workers", "integer", 0, "processes that prepare batches; 0: none, the result is the same"),
    Option("amp", "switch", False, "mixed precision in training, on a GPU", compared=True),
    Option("tensorboard", "switch", True, "write curves to output_dir/tensorboard"),
)
PROGRESS = Option("progress", "switch", True, "show a progress bar")
CROPS = (
    Option(
        "val_fraction",
        "number",
        0.1,
        "share of validation images where a source has no split; equal images, and those of a patient, stay together",
    ),
    Option("limit_per_class", "integer", None, "take so many images of each class, chosen at random; null: all"),
    Option(
        "check_images",
        "switch",
        True,
        "read every image before training, which finds unreadable ones and duplicates; false: trust them, to save the "
        "time for millions of images",
    ),
    Option(
        "crop_scale",
        "numbers",
        [0.08, 1.0],
        "smallest and largest share of an image's area in a random crop",
        compared=True,
    ),
    Option("crop_ratio", "numbers", [0.75, 1.3333333], "smallest and largest width / height of it", compared=True),
    Option(
        "val_crop",
        "number",
        0.875,
        "share of the shorter side that validation sees of an image, in the middle",
        compared=True,
    ),
    PROGRESS,
)
