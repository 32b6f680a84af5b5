"""Options of train_segmentation.json and evaluate_segmentation.json."""

from __future__ import annotations

from dataclasses import replace

from crossd.options.of_training import EVALUATED, IMAGES, LABELS, TRAIN, WEIGHTS
from crossd.options.option import Option, with_defaults

_SEGMENTATION = (
    replace(
        IMAGES,
        help="a folder with the dataset.json of a Medical Decathlon task; or, with labels, the folder that its paths "
        "start from (default: its own)",
    ),
    replace(
        LABELS,
        help="a CSV with the columns image (or image_1, image_2, … per channel) and mask, optionally case, patient, "
        "split (train, val, test)",
    ),
    Option(
        "classes",
        ("mapping", "texts"),
        None,
        "what the values of masks mean: names from 0 on, as in ['background','tumour'], or by value, as in "
        "{0:'background',4:'tumour'}; null: those of dataset.json",
    ),
    replace(
        WEIGHTS,
        default=None,
        help="what to start from: a segmentation model, or for CrossDUNet's encoder any checkpoint "
        "crossd.load_pretrained knows (2D, 3D, self-supervised); none: random weights",
    ),
    Option(
        "network",
        "text",
        "$@base['network'].get('name', 'crossd')",
        "crossd for CrossDUNet, or a class of monai.networks.nets such as UNet or SegResNet",
    ),
    Option(
        "convs",
        "text",
        "$@base['network'].get('convs', 'plain')",
        "of MONAI's networks: plain, or crossd to build them from Cross-D convolutions",
    ),
    Option(
        "network_options",
        "mapping",
        {},
        "further arguments of the network: of CrossDUNet conv1_t_size, conv1_t_stride, no_max_pool, decoder_channels, "
        "norm, dropout, alignment, motion, view; of the others all but channels",
    ),
    Option("depth", "integer", "$@base['network'].get('depth', 18)", "of CrossDUNet's encoder: 10, 18, 34, 50 or 101"),
    Option("width", "integer", "$@base['network'].get('width', 64)", "channels of its first stage"),
    Option(
        "deep_supervision",
        "integer",
        "$@base['network'].get('deep_supervision', 2)",
        "coarser scales of CrossDUNet that answer too in training",
    ),
    Option(
        "allow_empty",
        "switch",
        False,
        "whether a mask may hold nothing but background; false: that is an error",
        compared=True,
    ),
    Option("batch_size", "integer", 2, "training cases per step", compared=True),
    Option("crops", "integer", 2, "crops of roi_size of each case in a step", compared=True),
    Option(
        "crop_ratios",
        "numbers",
        None,
        "how often a crop's centre lies in each class; null: each as often",
        compared=True,
    ),
    *with_defaults(TRAIN, epochs=100, affine_prob=0.3),
)
# What a classifier has and masks have not.
_OF_CLASSIFIERS = ("task", "negative_class", "trainable", "class_weights", "label_smoothing", "aggregate", "top_k")
_REPLACED = {option.name: option for option in TRAIN if option.name not in _OF_CLASSIFIERS}
TRAIN_SEGMENTATION = tuple({**_REPLACED, **{option.name: option for option in _SEGMENTATION}}.values())

EVALUATE_SEGMENTATION = (
    *EVALUATED,
    Option(
        "evaluation_dir",
        "path",
        "$@options.output_dir + '/evaluation'",
        "receives cases.csv and metrics.json; default: evaluation in output_dir",
    ),
    Option("save_masks", "switch", False, "whether the masks are written too, with segmentations.csv"),
    Option(
        "classes",
        ("mapping", "texts"),
        "$dict(zip(@base['label_values'], @base['class_names']))",
        "those of the model's card",
    ),
)
