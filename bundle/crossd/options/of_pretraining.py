"""Options of pretrain_2d.json, its overlays and pretrain_ssl.json, and what these share with training on volumes."""

from __future__ import annotations

from crossd.options.option import Option
from crossd.options.shared import DEVICE

TASKS = ("multiclass", "multilabel")
TRAINABLE = Option(
    "trainable",
    "text",
    "all",
    "head: the last layer only, batch norms use their stored statistics. norms: weak probing, the last layer and all "
    "norms, which use and update batch statistics. all: everything",
    compared=True,
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

PRETRAIN_2D = (
    Option(
        "images",
        ("path", "paths"),
        None,
        "where labelled images are: a folder of class folders, with train, val and test above them or without, a .zip "
        "of one, a MedMNIST .npz, RadImageNet's RadiologyAI_train.csv or a list of one's own, ChestX-ray14's folder "
        "or table; or several of these as a list, whose classes are joined",
    ),
    Option(
        "image_root", "path", None, "folder that the names in a .csv start from (default: its folder, or the one above)"
    ),
    Option(
        "output_dir",
        "path",
        "$@bundle_root + '/output_2d'",
        "receives model.pt (the best epoch), metrics.csv and metrics.json, images.csv (the splits), skipped.csv, "
        "checkpoints to resume from and tensorboard",
    ),
    Option(
        "weights",
        "path",
        None,
        "what to start from: any checkpoint crossd.load_pretrained knows, 2D or 3D; none: random weights",
        compared=True,
    ),
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
    Option(
        "class_weights",
        ("choice", "numbers"),
        None,
        "null: every image counts the same; balanced: every class does; or a number per class",
        compared=True,
        choices=("balanced",),
    ),
    Option("label_smoothing", "number", 0.0, "of the cross-entropy, multiclass only", compared=True),
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
    Option("depth", "integer", "$@base['network']['depth']", "of the ResNet: 10, 18, 34, 50 or 101"),
    Option("width", "integer", "$@base['network']['width']", "channels of its first stage"),
    Option(
        "network_options",
        "mapping",
        {},
        "further arguments of crossd.CrossDResNet: alignment, motion, view, max_angle, conv1_t_size, conv1_t_stride, "
        "no_max_pool",
    ),
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
    Option(
        "trainable", "text", "norms", "norms: weak probing. all: everything. head: the last layer only", compared=True
    ),
    Option("epochs", "integer", 15, "how often all training images are seen", compared=True),
    Option("schedule", "text", "cosine", "of the learning rate, as in pretrain_2d.json", compared=True),
    Option(
        "warmup_epochs", "integer", "$min(1, @options.epochs - 1)", "over which the learning rate rises", compared=True
    ),
    Option(
        "class_weights",
        ("choice", "numbers"),
        "balanced",
        "balanced: every class counts the same; null: every image does; or a number per class",
        compared=True,
        choices=("balanced",),
        optional=True,
    ),
    Option(
        "crop_scale",
        "numbers",
        [0.6, 1.0],
        "smallest and largest share of an image's area in a random crop",
        compared=True,
    ),
    Option("val_crop", "number", 1.0, "share of the shorter side that validation sees, in the middle", compared=True),
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
