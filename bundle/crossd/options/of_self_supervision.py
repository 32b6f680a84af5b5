"""Options of pretrain_ssl.json: pre-training on images and volumes together, without labels."""

from __future__ import annotations

from dataclasses import replace

from crossd.options.option import Option, with_defaults
from crossd.options.shared import (
    CACHE_GB,
    CHECK_IMAGES,
    CLASSIFIER,
    DEVICE,
    EPOCHS,
    FILL,
    IMAGE_ROOT,
    INTENSITY,
    NETWORK,
    PLANE,
    PROGRESS,
    RESUMED,
    ROI_SIZE,
    SERIES,
    SKIP_UNREADABLE,
    SPACING,
    START,
    TILT,
)

SOURCE = ("choice", "path", "paths")
INTENSITIES = {"mode": "percentile", "lower": 0.5, "upper": 99.5}

PRETRAIN_SSL = (
    Option(
        "images", SOURCE, None, "2D images: a folder, .zip, .npz, .csv, or a list; none: no images", choices=("none",)
    ),
    IMAGE_ROOT,
    Option("limit_images", "integer", None, "number of images, chosen at random; null: all"),
    CHECK_IMAGES,
    Option("volumes", SOURCE, None, "3D volumes: a folder, .csv, .npz, or a list; none: no volumes", choices=("none",)),
    SKIP_UNREADABLE,
    Option("output_dir", "path", "$@bundle_root + '/output_ssl'", "receives model.pt, metrics.csv, checkpoints"),
    START,
    Option(
        "mix", "text", "alternating", "alternating: batches of either in turn; mixed: batches of both", compared=True
    ),
    *with_defaults(EPOCHS, epochs=240, batch_size=32, learning_rate=0.001, warmup_epochs=0, weight_decay=0.0001),
    Option("steps_per_epoch", "integer", None, "steps of an epoch; null: as many as the larger set needs"),
    Option("channels", "integer", 1, "channels of images and volumes; 1: grey, 3: RGB"),
    Option("encoder", "text", "crossd", "crossd: CrossDResNet; or segresnet, unet, swinunetr of MONAI"),
    Option("conv", "text", None, "crossd (Cross-D convolutions) or plain; null: crossd in CrossDResNet only"),
    *with_defaults(NETWORK, depth=18, network_options={}),
    Option("width", "integer", None, "channels of the finest level; null: 64, segresnet 8, unet 16, swinunetr 24"),
    replace(ROI_SIZE, default=[32, 64, 64], help="the two global views, voxels, depth height width"),
    Option("crop_sizes", "lists", None, "crops of volumes, resized to roi_size; null: 1 and 5/4 of it"),
    Option("sub_crops", "integer", 6, "sub-crops that are compared with the global views; 0: none", compared=True),
    Option("sub_roi_size", "integers", None, "sub-crops, voxels, depth height width; null: half of roi_size"),
    Option("sub_crop_sizes", "lists", None, "crops of volumes, resized to sub_roi_size; null: 1/2, 1, 3/2 of it"),
    Option("image_crop_sizes", "lists", None, "crops of images, (height, width) in windows; null: as crop_sizes"),
    Option("image_sub_crop_sizes", "lists", None, "sub-crops of images, likewise; null: as sub_crop_sizes"),
    Option("min_iou", "number", 0.3, "least intersection over union of the two global views", compared=True),
    Option("image_size", "integer", None, "shorter side images are resized to, pixels; null: by roi_size"),
    Option("kernel_size", "integer", None, "side of the pseudo-3D window, pixels; null: the least for roi_size"),
    Option("stride", "integer", None, "distance from window to window, pixels; null: half of kernel_size"),
    Option("padding", "integer", None, "zeros around the image, pixels; null: half of (kernel_size - stride)"),
    replace(PLANE, default="axial"),
    replace(SPACING, default=None),
    replace(INTENSITY, default=INTENSITIES),
    SERIES,
    TILT,
    Option(
        "loss_weights", "mapping", {}, "weights of restoration, similarity, sub_crops, middle; else 1", compared=True
    ),
    Option(
        "annealing_epochs",
        "integer",
        "$@options.epochs",
        "epochs until restoration from a middle scale ends",
        compared=True,
    ),
    Option("algorithm", "text", "sgd", "optimiser: sgd (momentum 0.9, as published) or adamw", compared=True),
    CACHE_GB,
    PROGRESS,
    *RESUMED,
    DEVICE,
)

_SAME = (
    *("volumes", "skip_unreadable", "steps_per_epoch", "channels", "roi_size", "crop_sizes", "min_iou", "plane"),
    *("spacing", "intensity", "series", "tilt", "cache_gb", "progress", *(option.name for option in RESUMED)),
)
AXES_OF_KERNELS = {"motion": "rotate", "view": "projection", "alignment": "rest"}

PRETRAIN_SSL_2D = (
    *(option for option in PRETRAIN_SSL if option.name in _SAME),
    Option("output_dir", "path", "$@bundle_root + '/output_ssl_2d'", "receives model.pt, metrics.csv, checkpoints"),
    START,
    FILL,
    CLASSIFIER,
    *with_defaults(NETWORK, depth=None, width=None, network_options=AXES_OF_KERNELS),
    Option("image_size", "integer", None, "longer side of slices and projections, pixels; null: as they are"),
    Option(
        "directions",
        "choice",
        "axes",
        "looked along: the three axes, or also ten diagonals",
        compared=True,
        choices=("axes", "diagonals"),
    ),
    Option("loss_weights", "mapping", {}, "of invariance, variance, covariance; else 25, 25, 1", compared=True),
    *with_defaults(EPOCHS, epochs=20, batch_size=32, learning_rate=0.001, warmup_epochs=1, weight_decay=0.0001),
    DEVICE,
)
