"""Options of pretrain_ssl.json: pre-training on images and volumes together, without labels."""

from __future__ import annotations

from crossd.options.option import Option
from crossd.options.shared import DEVICE, IMAGE_ROOT, PROGRESS, RESUMED, SKIP_UNREADABLE, TILT, series

PRETRAIN_SSL = (
    Option(
        "images",
        ("choice", "path", "paths"),
        None,
        "2D images, shown as pseudo-3D volumes: a folder, a .zip, a .npz (train_images or images), a .csv list, or "
        "several of these as a list; labels are not looked at, and what lies beside a folder train, or is val or test "
        "in a list, is not taken. none: volumes only, the 3D ablation",
        choices=("none",),
    ),
    IMAGE_ROOT,
    Option("limit_images", "integer", None, "take so many images, chosen at random; null: all"),
    Option(
        "check_images",
        "switch",
        True,
        "read every image before training, which finds unreadable ones; false: trust them",
    ),
    Option(
        "volumes",
        ("choice", "path", "paths"),
        None,
        "3D volumes: a folder of NIfTI or DICOM (of one with images and labels, the images), a .csv of cases (of one "
        "with a column split, the rows train), a .npz (train_images or images), or several of these as a list. none: "
        "images only, the 2D ablation",
        choices=("none",),
    ),
    SKIP_UNREADABLE,
    Option(
        "output_dir",
        "path",
        "$@bundle_root + '/output_ssl'",
        "receives model.pt (the encoder after the last finished epoch), metrics.csv (the terms of the loss), "
        "cases.csv (what is trained on), checkpoints to resume from and tensorboard with restored planes",
    ),
    Option(
        "weights",
        "path",
        None,
        "what the encoder starts from: any checkpoint crossd.load_pretrained knows; none: random weights",
        compared=True,
    ),
    Option(
        "mix",
        "text",
        "alternating",
        "alternating: a batch of images, then one of volumes. mixed: both kinds in every batch",
        compared=True,
    ),
    Option("batch_size", "integer", 32, "cases per step and process", compared=True),
    Option(
        "steps_per_epoch",
        "integer",
        None,
        "steps of an epoch; the smaller set begins again, shuffled anew. null: as many as the larger set needs",
    ),
    Option("epochs", "integer", 240, "how many of these", compared=True),
    Option("channels", "integer", 1, "of images (1: grey; 3: RGB) and of volumes"),
    Option(
        "encoder",
        "text",
        "crossd",
        "crossd: CrossDResNet. segresnet, unet, swinunetr: MONAI's, of swinunetr the transformer",
    ),
    Option(
        "conv",
        "text",
        None,
        "crossd: Cross-D convolutions, also in segresnet and unet. plain: ordinary ones. null: crossd in a "
        "CrossDResNet, plain in the others",
    ),
    Option("depth", "integer", 18, "of the ResNet: 10, 18, 34, 50 or 101; of no account for other encoders"),
    Option(
        "width",
        "integer",
        None,
        "channels of the encoder's finest level (64; segresnet 8, unet 16, swinunetr 24); null: these",
    ),
    Option(
        "network_options",
        "mapping",
        {},
        "further arguments of the encoder's network; of crossd: alignment, motion, view, conv1_t_size, "
        "conv1_t_stride, no_max_pool",
    ),
    Option("roi_size", "integers", [32, 64, 64], "voxels of the two global views along depth, height, width"),
    Option(
        "crop_sizes",
        "lists",
        None,
        "what is cut out of volumes and resized to roi_size; null: roi_size and 5/4 of it. Smaller volumes are padded "
        "with 0",
    ),
    Option(
        "sub_crops",
        "integer",
        6,
        "number of sub-crops, which are compared with the global views; 0: none",
        compared=True,
    ),
    Option("sub_roi_size", "integers", None, "voxels of these; null: half of roi_size"),
    Option(
        "sub_crop_sizes", "lists", None, "what is cut out of volumes and resized to that; null: 1/2, 1 and 3/2 of it"
    ),
    Option(
        "image_crop_sizes",
        "lists",
        None,
        "(height, width) in windows, cut out of images; depth is that of roi_size. null: as crop_sizes",
    ),
    Option("image_sub_crop_sizes", "lists", None, "the same of sub-crops"),
    Option(
        "min_iou", "number", 0.3, "global views share more than this part of what they cover together", compared=True
    ),
    Option(
        "image_size",
        "integer",
        None,
        "shorter side that images are resized to, pixels; null: enough for half as many windows again as roi_size has "
        "voxels",
    ),
    Option(
        "kernel_size",
        "integer",
        None,
        "sides of the pseudo-3D window, pixels, whose square is the depth; null: the smallest that roi_size fits into",
    ),
    Option("stride", "integer", None, "from window to window, pixels; null: half of kernel_size"),
    Option(
        "padding",
        "integer",
        None,
        "zeros around the image, pixels; null: half of what kernel_size has more than stride",
    ),
    Option(
        "plane", "text", "axial", "axial, coronal, sagittal or acquired: which plane the depth slices of volumes are"
    ),
    Option(
        "spacing",
        "numbers",
        None,
        "millimetres along depth, height, width that volumes are resampled to; null: as they are",
    ),
    Option(
        "intensity",
        "mapping",
        {"mode": "percentile", "lower": 0.5, "upper": 99.5},
        "of volumes: mode window, percentile or range, with lower and upper, becomes 0 to 1; of images 0 to 255 does",
    ),
    series("which DICOM series is meant where a folder has several"),
    TILT,
    Option(
        "loss_weights",
        "mapping",
        {},
        "of the terms restoration, similarity, sub_crops and middle, 1 where not given; 0 leaves one out",
        compared=True,
    ),
    Option(
        "annealing_epochs",
        "integer",
        "$@options.epochs",
        "after which the restoration from a middle scale has no weight",
        compared=True,
    ),
    Option("algorithm", "text", "sgd", "sgd: momentum 0.9, the published choice. adamw", compared=True),
    Option(
        "learning_rate", "number", 0.001, "at the beginning, after warm-up; it falls to 0 along a cosine", compared=True
    ),
    Option("warmup_epochs", "integer", 0, "over which it rises", compared=True),
    Option("weight_decay", "number", 0.0001, "of the optimiser", compared=True),
    Option("cache_gb", "number", 4, "memory for decoded images, and as much for preprocessed volumes, of each process"),
    PROGRESS,
    *RESUMED,
    DEVICE,
)
