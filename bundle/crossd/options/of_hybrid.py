"""Options of train_hybrid.json: images and volumes in the same steps."""

from __future__ import annotations

from dataclasses import replace

from crossd.options.option import Option
from crossd.options.shared import CLASS_WEIGHTS, CROPS, IMAGE_ROOT, START

TRAIN_HYBRID = (
    Option("volumes", "path", None, "what train.json calls images: the folder that the paths in labels.csv start from"),
    Option(
        "images",
        ("path", "paths"),
        None,
        "where labelled 2D images are, as in pretrain_2d.json: a folder of class folders, a .zip, .npz or .csv, or "
        "several of these as a list",
    ),
    IMAGE_ROOT,
    Option(
        "output_dir",
        "path",
        "$@bundle_root + '/output_hybrid'",
        "receives model.pt, an ordinary 3D classifier (the best epoch by the volumes' validation), metrics.csv and "
        "metrics.json, datalist.csv, images/images.csv, checkpoints and tensorboard",
    ),
    START,
    Option(
        "norm_statistics",
        "choice",
        "separate",
        "running mean and variance of the batch norms. separate: volumes and images have their own. shared: both move "
        "one",
        compared=True,
        choices=("separate", "shared"),
    ),
    Option(
        "images_per_volume",
        "number",
        4,
        "images of a step for each of its volumes: batch_size 8 and 4 make 32 images",
        compared=True,
    ),
    Option("volume_weight", "number", 1.0, "of the volumes' loss; 0: they are not trained on", compared=True),
    Option(
        "image_weight",
        "number",
        1.0,
        "of the images' loss; 0: they are not trained on, as in train.json",
        compared=True,
    ),
    Option("image_size", "integer", 224, "sides of the squares that the 2D network sees", compared=True),
    Option(
        "image_mean",
        ("number", "numbers"),
        "$@options.mean",
        "of grey values in [0, 1] of images, subtracted; default: that of the volumes",
        compared=True,
    ),
    Option("image_std", ("number", "numbers"), "$@options.std", "divided by after that", compared=True),
    Option(
        "image_network_options",
        "mapping",
        {},
        'arguments of crossd.CrossDResNet for images alone, such as {"alignment": "rest"}; network_options are for '
        "both, "
        "but for the alignment, which is dynamic in 2D",
        compared=True,
    ),
    replace(CLASS_WEIGHTS, name="image_class_weights", default=None),
    Option("image_label_smoothing", "number", 0.0, "of the images' cross-entropy", compared=True),
    Option("image_val_interval", "integer", 1, "validate the images every so many epochs; nothing depends on it"),
    *(replace(option, compared=option.compared and option.name != "val_crop") for option in CROPS),
    Option(
        "image_flip_axes",
        "integers",
        [1],
        "axes of images mirrored at random, 0 height, 1 width; [] where classes are sides",
        compared=True,
    ),
    Option("image_cache_gb", "number", 4, "memory for decoded images, of each process"),
)
