"""Options of pretrain_2d.json and its overlays."""

from __future__ import annotations

from dataclasses import replace

from crossd.options import shared
from crossd.options.option import Option, compared, with_defaults

LABELLED_IMAGES = Option("images", ("path", "paths"), None, "class folders, a .zip, .npz or .csv, or a list of these")

PRETRAIN_2D = (
    LABELLED_IMAGES,
    shared.IMAGE_ROOT,
    Option("output_dir", "path", "$@bundle_root + '/output_2d'", "receives model.pt, metrics, images.csv, checkpoints"),
    shared.START,
    shared.FILL,
    replace(shared.TASK, help="multiclass or multilabel; null: as the images are"),
    Option("channels", "integer", "$len(@base['input']['channels'])", "channels of images; 1: grey, 3: RGB"),
    shared.IMAGE_SIZE,
    Option("pseudo3d", "mapping", None, "arguments of Pseudo3D, to train a 3D network; null: a 2D network"),
    shared.SPLIT_SEED,
    shared.TRAINABLE,
    *with_defaults(shared.EPOCHS, epochs=90, batch_size=32, learning_rate=0.001, warmup_epochs=0, weight_decay=0.01),
    replace(shared.CLASS_WEIGHTS, default=None),
    shared.LABEL_SMOOTHING,
    *compared(
        Option("schedule", "text", "step", "learning rate: a tenth every step_epochs (step), or down to 0 (cosine)"),
        Option("step_epochs", "integer", 30, "epochs between the steps of schedule step"),
        Option("mixup", "number", 0.0, "alpha of mixup's Beta distribution; 0: no mixup"),
        Option("ema", "number", None, "decay of the averaged weights that are kept, as 0.999; null: none"),
    ),
    *shared.CROPS,
    shared.FLIP_AXES_2D,
    *shared.SCORED,
    Option(
        "score",
        "text",
        "$'val_auc' if @corpus['task'] == 'multilabel' else 'val_balanced_accuracy'",
        "metric whose highest value makes the best epoch",
    ),
    *shared.NORMALISATION,
    Option(
        "conv",
        "choice",
        "$@base['network'].get('conv', 'crossd')",
        "crossd: Cross-D convolutions. plain: ordinary ones, as I3D and ACS need",
        choices=("crossd", "plain"),
    ),
    shared.CLASSIFIER,
    *shared.NETWORK,
    shared.CACHE_GB,
    *shared.RESUMED,
    shared.DEVICE,
)

TRAIN_2D = (
    Option(
        "output_dir", "path", "$@bundle_root + '/output_train_2d'", "receives model.pt, metrics, checkpoints, test/"
    ),
    replace(
        shared.IMAGE_SIZE,
        default="$@base['input'].get('pseudo_3d', {}).get('image_size', @base['input']['roi_size'][-1])",
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
    shared.CLASS_WEIGHTS,
    shared.BOOTSTRAP_SAMPLES,
)
UNSEEN_DECAY_2D = compared(
    Option("unseen_decay", "number", 0.1, "weight decay of the part of 3D kernels that axial images do not see"),
)
