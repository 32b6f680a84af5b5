"""Options of pretrain_2d.json and its overlays."""

from __future__ import annotations

from dataclasses import replace

from crossd.options.option import Option, with_defaults
from crossd.options.shared import (
    CLASS_WEIGHTS,
    CROPS,
    DEVICE,
    IMAGE_ROOT,
    LABEL_SMOOTHING,
    NETWORK,
    RESUMED,
    SCORED,
    START,
    TASKS,
    TRAINABLE,
)

PRETRAIN_2D = (
    Option(
        "images",
        ("path", "paths"),
        None,
        "where labelled images are: a folder of class folders, with train, val and test above them or without, a .zip "
        "of one, a MedMNIST .npz, RadImageNet's RadiologyAI_train.csv or a list of one's own, ChestX-ray14's folder "
        "or table; or several of these as a list, whose classes are joined",
    ),
    IMAGE_ROOT,
    Option(
        "output_dir",
        "path",
        "$@bundle_root + '/output_2d'",
        "receives model.pt (the best epoch), metrics.csv and metrics.json, images.csv (the splits), skipped.csv, "
        "checkpoints to resume from and tensorboard",
    ),
    START,
    Option(
        "task", "choice", None, "null: as the images are, which are multilabel in ChestX-ray14 alone", choices=TASKS
    ),
    Option("channels", "integer", "$len(@base['input']['channels'])", "1: grey; 3: RGB"),
    Option("image_size", "integer", 224, "sides of the squares that the network sees"),
    Option(
        "pseudo3d",
        "mapping",
        None,
        "kernel_size, stride and padding of crossd.Pseudo3D, by which a 3D network sees each image as a volume; null: "
        "a 2D network",
    ),
    Option("split_seed", "integer", 0, "of the choice of images and of the split"),
    TRAINABLE,
    Option("epochs", "integer", 90, "how often all training images are seen", compared=True),
    Option("batch_size", "integer", 32, "images per step and process", compared=True),
    Option("learning_rate", "number", 0.001, "of AdamW after warm-up", compared=True),
    Option(
        "schedule",
        "text",
        "step",
        "step: a tenth of the learning rate after every step_epochs. cosine: down to 0 along a cosine",
        compared=True,
    ),
    Option("step_epochs", "integer", 30, "epochs of a step", compared=True),
    Option("warmup_epochs", "integer", 0, "over which the learning rate rises", compared=True),
    Option("weight_decay", "number", 0.01, "of AdamW", compared=True),
    replace(CLASS_WEIGHTS, default=None),
    LABEL_SMOOTHING,
    Option(
        "mixup",
        "number",
        0.0,
        "alpha of the Beta distribution that two images are mixed by; 0: they are not",
        compared=True,
    ),
    Option(
        "ema",
        "number",
        None,
        "decay of the moving average of weights that is validated and kept, for example 0.999; null: none",
        compared=True,
    ),
    *CROPS,
    Option(
        "flip_axes",
        "integers",
        [1],
        "axes mirrored at random in training, 0 height, 1 width; [] where classes are sides",
        compared=True,
    ),
    *SCORED,
    Option(
        "score",
        "text",
        "$'val_auc' if @corpus['task'] == 'multilabel' else 'val_balanced_accuracy'",
        "the metric that the best epoch has most of: val_balanced_accuracy, val_auc for multilabel",
    ),
    Option("mean", ("number", "numbers"), "$@base['input']['mean']", "of grey values in [0, 1], subtracted"),
    Option("std", ("number", "numbers"), "$@base['input']['std']", "divided by after that"),
    Option(
        "conv",
        "choice",
        "$@base['network'].get('conv', 'crossd')",
        "crossd: Cross-D convolutions. plain: ordinary ones, the source of I3D and ACS",
        choices=("crossd", "plain"),
    ),
    *NETWORK,
    Option(
        "cache_gb",
        "number",
        4,
        "memory for decoded images, of each process; what does not fit is decoded again in every epoch",
    ),
    *RESUMED,
    DEVICE,
)

TRAIN_2D = (
    Option(
        "output_dir",
        "path",
        "$@bundle_root + '/output_train_2d'",
        "receives model.pt (the best epoch), metrics.csv and metrics.json of validation, test/ with the report on the "
        "test images (test/CLASS of a folder or zip, test_images of an .npz, the test list of RadImageNet or "
        "ChestX-ray14), read once, after training, images.csv, skipped.csv, checkpoints and tensorboard",
    ),
    Option(
        "image_size",
        "integer",
        "$@base['input'].get('pseudo_3d', {}).get('image_size', @base['input']['roi_size'][-1])",
        "sides of the squares that the network sees; default: as the weights have seen them",
    ),
    *with_defaults(
        PRETRAIN_2D,
        trainable="norms",
        epochs=15,
        schedule="cosine",
        warmup_epochs="$min(1, @options.epochs - 1)",
        crop_scale=[0.6, 1.0],
        val_crop=1.0,
    ),
    CLASS_WEIGHTS,
    Option("bootstrap_samples", "integer", 1000, "draws of the intervals of the test metrics"),
)
UNSEEN_DECAY_2D = (
    Option(
        "unseen_decay",
        "number",
        0.1,
        "what axial images do not see of the 3D kernels decays, by so many times half its squared norm in the loss",
        compared=True,
    ),
)
