"""The declared list of each config, by the name of its file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from crossd.errors import CrossDError, one_of
from crossd.options.of_hybrid import TRAIN_HYBRID
from crossd.options.of_inference import INFERENCE, INFERENCE_SEGMENTATION, INFERENCE_TRT
from crossd.options.of_pretraining import PRETRAIN_2D, TRAIN_2D, UNSEEN_DECAY_2D
from crossd.options.of_segmentation import EVALUATE_SEGMENTATION, TRAIN_SEGMENTATION
from crossd.options.of_self_supervision import PRETRAIN_SSL
from crossd.options.of_training import EVALUATE, TRAIN
from crossd.options.option import Option

OPTIONS: dict[str, tuple[Option, ...]] = {
    "inference": INFERENCE,
    "inference_segmentation": INFERENCE_SEGMENTATION,
    "inference_trt": INFERENCE_TRT,
    "train": TRAIN,
    "evaluate": EVALUATE,
    "train_segmentation": TRAIN_SEGMENTATION,
    "evaluate_segmentation": EVALUATE_SEGMENTATION,
    "train_hybrid": TRAIN_HYBRID,
    "pretrain_2d": PRETRAIN_2D,
    "train_2d": TRAIN_2D,
    "unseen_decay_2d": UNSEEN_DECAY_2D,
    "pretrain_ssl": PRETRAIN_SSL,
}


def declared(config: str | Sequence[str]) -> dict[str, Option]:
    """The options of a config, by name; of several, later ones add and replace.

    Raises:
        CrossDError: for a config that declares none.

    >>> declared("inference")["tilt"].choices
    ('correct', 'refuse')
    """
    names = [config] if isinstance(config, str) else config
    return {option.name: option for name in names for option in OPTIONS[one_of("config", name, OPTIONS)]}


def refuse_unknown(config: str | Sequence[str], given: Iterable[str], keys: Iterable[str] = ()) -> None:
    """Refuse names that no option of a config has.

    Args:
        config: its name, or several, as for `declared`.
        given: names of options; one that goes into a nested item (`train#trainer`, `train::trainer`) is MONAI's affair.
        keys: further top-level keys of the config, which MONAI lets one replace.

    Raises:
        CrossDError: naming the nearest option of the first name that is not known.

    >>> refuse_unknown("inference", ["images", "writer#card"])
    """
    known = {*declared(config), *keys}
    for name in given:
        if name not in known and "#" not in name and "::" not in name:
            near = difflib.get_close_matches(name, known, 1)
            remedy = f"Did you mean --{near[0]}?" if near else "They are listed in docs/options.md."
            whose = config if isinstance(config, str) else ", ".join(config)
            raise CrossDError(f"An option must be one that {whose}.json declares; got --{name}. {remedy}")
