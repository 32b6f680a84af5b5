"""Options of train_hybrid.json: images and volumes in the same steps."""

from __future__ import annotations

from dataclasses import replace

from crossd.options import shared
from crossd.options.of_pretraining import LABELLED_IMAGES
from crossd.options.option import Option, compared

MEAN, STD = shared.NORMALISATION

TRAIN_HYBRID = (
    Option("volumes", "path", None, "folder that the paths in labels start from; null: the folder of labels"),
    LABELLED_IMAGES,
    shared.IMAGE_ROOT,
    Option("output_dir", "path", "$@bundle_root + '/output_hybrid'", "receives model.pt, metrics and checkpoints"),
    shared.START,
    *compared(
        Option(
            "norm_statistics",
            "choice",
            "separate",
            "running statistics of batch norms: separate or shared by images and volumes",
            choices=("separate", "shared"),
        ),
        Option("images_per_volume", "number", 4, "images in a step for each of its volumes"),
        Option("volume_weight", "number", 1.0, "weight of the volumes' loss; 0: only images"),
        Option("image_weight", "number", 1.0, "weight of the images' loss; 0: only volumes"),
        shared.IMAGE_SIZE,
        replace(MEAN, name="image_mean", default="$@options.mean"),
        replace(STD, name="image_std", default="$@options.std"),
        Option("image_network_options", "mapping", {}, "arguments of the network for images alone"),
    ),
    replace(shared.CLASS_WEIGHTS, name="image_class_weights", default=None),
    replace(shared.LABEL_SMOOTHING, name="image_label_smoothing"),
    Option("image_val_interval", "integer", 1, "epochs between validations of the images"),
    *(replace(option, compared=option.compared and option.name != "val_crop") for option in shared.CROPS),
    replace(shared.FLIP_AXES_2D, name="image_flip_axes"),
    replace(shared.CACHE_GB, name="image_cache_gb"),
)
