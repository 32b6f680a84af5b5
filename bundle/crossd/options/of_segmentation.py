"""Options of train_segmentation.json and evaluate_segmentation.json."""

from __future__ import annotations

from dataclasses import replace

from crossd.options import shared
from crossd.options.of_training import EVALUATED, LABELS, TRAIN
from crossd.options.option import Option, compared, with_defaults

CLASSES = Option(
    "classes", ("mapping", "texts"), None, "class names from value 0 on, or by value; null: dataset.json's"
)

_SEGMENTATION = (
    Option("images", "path", None, "folder of dataset.json (Decathlon), or that the paths in labels start from"),
    replace(LABELS, help="table of cases: image (or image_1, …), mask, case, patient, split"),
    CLASSES,
    shared.START,
    Option(
        "network",
        "text",
        "$@base['network'].get('name', 'crossd')",
        "crossd: CrossDUNet; or a class of monai.networks.nets, as UNet",
    ),
    Option(
        "convs", "text", "$@base['network'].get('convs', 'plain')", "convolutions of MONAI's networks: plain or crossd"
    ),
    *with_defaults(
        shared.NETWORK,
        network_options={},
        depth="$@base['network'].get('depth', 18)",
        width="$@base['network'].get('width', 64)",
    ),
    Option(
        "deep_supervision",
        "integer",
        "$@base['network'].get('deep_supervision', 2)",
        "coarser scales of CrossDUNet that have a loss too",
    ),
    *compared(
        Option("allow_empty", "switch", False, "whether a mask may be background only; false: an error"),
        Option("crops", "integer", 2, "crops of roi_size of each case in a step"),
        Option("crop_ratios", "numbers", None, "how often a crop's centre lies in each class; null: equally often"),
    ),
    shared.ROI_SIZE,
    *with_defaults(TRAIN, epochs=100, batch_size=2, affine_prob=0.3),
)
# What a classifier has and masks have not.
_OF_CLASSIFIERS = (
    *(
        "task",
        "negative_class",
        "operating_point",
        "calibration",
        "trainable",
        "class_weights",
        "label_smoothing",
        "aggregate",
        "top_k",
    ),
    *("allow_untested", "head_epochs", "fill", "folds", "repeats", "image", "label", "patient"),
)
_REPLACED = {option.name: option for option in TRAIN if option.name not in _OF_CLASSIFIERS}
TRAIN_SEGMENTATION = tuple({**_REPLACED, **{option.name: option for option in _SEGMENTATION}}.values())

EVALUATE_SEGMENTATION = (
    *EVALUATED,
    Option("save_masks", "switch", False, "write the masks too, with segmentations.csv"),
    replace(
        CLASSES,
        default="$dict(zip(@base['label_values'], @base['class_names']))",
        help="class names; default: as the model's card says",
    ),
)
