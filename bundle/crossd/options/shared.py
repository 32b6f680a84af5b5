"""Options that several configs have, written once."""

from __future__ import annotations

from dataclasses import replace

from crossd.options.option import Option, compared

BUNDLE_MODEL = "$@bundle_root + '/models/model.pt'"
CUDA_IF_ANY = "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')"
PLANES = ("axial", "coronal", "sagittal", "acquired")

DEVICE = Option("device", "device", CUDA_IF_ANY, "device of torch; default: cuda where there is one")
CACHE = (
    Option("cache_dir", "path", None, "folder that keeps preprocessed volumes for later runs; null: none"),
    Option("cache_dir_gb", "number", 100, "size that cache_dir may have, GiB"),
)
CACHE_GB = Option("cache_gb", "number", 4, "memory for decoded cases, GiB per process")
VOLUME, TILT, SERIES = compared(
    Option("volume", "integer", None, "which volume of 4D files, from 0; null: as FILE@NUMBER says"),
    Option(
        "tilt",
        "choice",
        "correct",
        "DICOM series of a tilted gantry: corrected (resampled) or refused",
        choices=("correct", "refuse"),
    ),
    Option("series", ("text", "texts"), None, "DICOM series where a folder has several: description, modality or UID"),
)
WINDOWS = (
    Option("overlap", "number", 0.5, "overlap of neighbouring windows, share of their size"),
    Option("sw_batch_size", "integer", 4, "windows in one pass of the network"),
)
AGGREGATE = (
    Option(
        "aggregate",
        "choice",
        "mean",
        "how the probabilities of windows become those of the case",
        choices=("mean", "max", "top_k", "noisy_or"),
    ),
    Option("top_k", "integer", 3, "windows that aggregate top_k averages"),
)
FLIPS = Option(
    "flips", "integers", None, "axes whose mirror images are asked too, 0 depth, 1 height, 2 width; null: none"
)

# How volumes and images are seen
PLANE = Option("plane", "choice", "$@base['input']['plane']", "plane in which depth slices lie", choices=PLANES)
SPACING = Option(
    "spacing",
    "numbers",
    "$@base['input']['spacing']",
    "spacing volumes are resampled to, mm, depth height width; null: as they are",
    optional=True,
)
ROI_SIZE = Option(
    "roi_size", "integers", "$@base['input']['roi_size']", "window of the network, voxels, depth height width"
)
INTENSITY = Option(
    "intensity",
    "mapping",
    "$@base['input']['intensity']",
    "mode (window, percentile or range) with lower and upper, scaled to 0 to 1",
)
NORMALISATION = (
    Option(
        "mean", ("number", "numbers"), "$@base['input']['mean']", "mean of intensities in [0, 1], which is subtracted"
    ),
    Option(
        "std",
        ("number", "numbers"),
        "$@base['input']['std']",
        "standard deviation of intensities in [0, 1], which divides them",
    ),
)
IMAGE_SIZE = Option("image_size", "integer", 224, "sides of the squares that the 2D network sees, pixels")
# Of training, on images and on volumes
IMAGE_ROOT = Option(
    "image_root", "path", None, "folder that names in a .csv start from; null: its own or the one above"
)
FILL = Option(
    "fill",
    "choice",
    None,
    "how 2D kernels of others become 3D ones; null: centre. docs/guide/imagenet.md",
    compared=True,
    choices=("centre", "mean", "tomographic"),
)
TASK = Option(
    "task",
    "choice",
    None,
    "multiclass: one class per case; multilabel: any number",
    choices=("multiclass", "multilabel"),
)
VOLUME_TASK = replace(
    TASK,
    help="multiclass: one class; multilabel: any; ordinal: a grade; regression: a number",
    choices=(*TASK.choices, "ordinal", "regression"),
)
SKIP_UNREADABLE = Option(
    "skip_unreadable", "switch", False, "leave out what cannot be read and list it in skipped.csv; false: an error"
)
SPLIT_SEED = Option("split_seed", "integer", 0, "seed of the split and of the choice of cases")
START, TRAINABLE, CLASS_WEIGHTS, LABEL_SMOOTHING, FLIP_AXES_2D = compared(
    Option("weights", "path", None, "checkpoint, or name as efficientnet-lite0, to start from; null: random"),
    Option("trainable", "text", "all", "head: last layer. norms: it and all norms. all: every layer"),
    Option(
        "class_weights",
        ("choice", "numbers"),
        "balanced",
        "balanced: each class counts the same; null: each case; or one number each",
        choices=("balanced",),
        optional=True,
    ),
    Option("label_smoothing", "number", 0.0, "label smoothing of the cross-entropy, multiclass only"),
    Option("flip_axes", "integers", [1], "axes mirrored at random (0 height, 1 width); [] where classes are sides"),
)
CLASSIFIER = Option(
    "network", "text", None, "CrossDResNet, CrossDEfficientNetLite (lite0, lite1, lite2); null: as weights"
)
NETWORK = (
    Option("depth", "integer", None, "layers of a ResNet: 10, 18, 34, 50 or 101; null: as weights"),
    Option("width", "integer", None, "channels of a ResNet's finest level; null: as weights"),
    Option("network_options", "mapping", {}, "further arguments of the network's class"),
)
EPOCHS = compared(
    Option("epochs", "integer", 50, "number of epochs"),
    Option("batch_size", "integer", 8, "training cases per step and process"),
    Option("learning_rate", "number", 0.001, "learning rate after warm-up"),
    Option("warmup_epochs", "integer", 2, "epochs of warm-up, in which the learning rate rises"),
    Option("weight_decay", "number", 0.01, "weight decay of the optimiser"),
)
SCORED = compared(
    Option("patience", "integer", None, "stop after so many validations without a better score; null: never"),
    Option("val_interval", "integer", 1, "epochs between validations"),
)
RESUMED = (
    Option("resume", "switch", True, "go on with the run in output_dir; false: start again"),
    Option("num_workers", "integer", 0, "processes that prepare batches, with the same result; 0: none"),
    Option("tensorboard", "switch", True, "write curves to output_dir/tensorboard"),
    *compared(
        Option("seed", "integer", 0, "seed of initial weights, order and augmentation"),
        Option("amp", "switch", False, "mixed precision in training, on a GPU"),
    ),
)
PROGRESS = Option("progress", "switch", True, "show a progress bar")
CHECK_IMAGES = Option(
    "check_images", "switch", True, "read every image first, to find unreadable ones; false: trust them"
)
CROPS = (
    Option("val_fraction", "number", 0.1, "share of validation images where a source has no split"),
    Option("limit_per_class", "integer", None, "images of each class, chosen at random; null: all"),
    CHECK_IMAGES,
    *compared(
        Option("crop_scale", "numbers", [0.08, 1.0], "least and largest share of the area in a random crop"),
        Option("crop_ratio", "numbers", [0.75, 1.3333333], "least and largest width / height of a random crop"),
        Option("val_crop", "number", 0.875, "share of the shorter side that validation sees, in the middle"),
    ),
    PROGRESS,
)
BOOTSTRAP_SAMPLES = Option("bootstrap_samples", "integer", 1000, "draws of the 95 % intervals of the test metrics")
