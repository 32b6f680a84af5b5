"""The declared list of each config, by the name of its file, and the values of the options while it is run."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from crossd.callers import caller_of
from crossd.errors import CrossDError, one_of, report_plainly
from crossd.options.of_distillation import DISTILL
from crossd.options.of_hybrid import TRAIN_HYBRID
from crossd.options.of_inference import INFERENCE, INFERENCE_SEGMENTATION, INFERENCE_TRT
from crossd.options.of_planning import PLAN
from crossd.options.of_pretraining import PRETRAIN_2D, TRAIN_2D, UNSEEN_DECAY_2D
from crossd.options.of_probe import EMBED, PROBE
from crossd.options.of_segmentation import EVALUATE_SEGMENTATION, TRAIN_SEGMENTATION
from crossd.options.of_self_supervision import PRETRAIN_SSL, PRETRAIN_SSL_2D
from crossd.options.of_training import EVALUATE, TRAIN
from crossd.options.option import Option

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

OPTIONS: dict[str, tuple[Option, ...]] = {
    "inference": INFERENCE,
    "inference_segmentation": INFERENCE_SEGMENTATION,
    "inference_trt": INFERENCE_TRT,
    "train": TRAIN,
    "evaluate": EVALUATE,
    "plan": PLAN,
    "probe": PROBE,
    "embed": EMBED,
    "train_segmentation": TRAIN_SEGMENTATION,
    "evaluate_segmentation": EVALUATE_SEGMENTATION,
    "train_hybrid": TRAIN_HYBRID,
    "pretrain_2d": PRETRAIN_2D,
    "train_2d": TRAIN_2D,
    "unseen_decay_2d": UNSEEN_DECAY_2D,
    "pretrain_ssl": PRETRAIN_SSL,
    "pretrain_ssl_2d": PRETRAIN_SSL_2D,
    "distill": DISTILL,
}

REPLACED = {
    "train_segmentation": "train"
}  # its list is whole, and the config that it changes has options that it has not


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
        given: names of options, `outer::key` for those of nested entries.
        keys: further keys that are read.

    Raises:
        CrossDError: naming the nearest option of the first name that is not known.

    >>> refuse_unknown("inference", ["images", "writer"], keys=["writer"])
    """
    options = declared(config)
    known = {*options, *keys}
    for name in given:
        if name not in known:
            last = name.split("::")[-1]
            near = difflib.get_close_matches(last, options, 1) or difflib.get_close_matches(name, known, 1)
            others = ", ".join(f"{other}.json" for other in OPTIONS if name in declared(other))
            remedy = f"It is one of {others}." if others else "They are listed in docs/options.md."
            remedy = f"Did you mean --{near[0]}?" if near else remedy
            whose = config if isinstance(config, str) else ", ".join(config)
            raise CrossDError(f"An option must be one that {whose}.json declares; got --{name}. {remedy}")


class Options:
    """A read-only namespace of a config's options; `options` makes it.

    A value is resolved by the config's parser when it is asked for, so an option's default may depend on other items
    of the config that ask for options themselves.

    Args:
        config: name of the declared list, or several, of which later ones add and replace.

    Raises:
        CrossDError: for a name that is not declared, an assignment, and a value of another kind.
    """

    def __init__(self, config: str | Sequence[str], parser: ConfigParser) -> None:
        vars(self).update(_declared=declared(config), _parser=parser, _read={})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._read:
            option = self._declared[one_of("option", name, self._declared)]
            given = not option.item or self._parser[name] != option.default
            self._read[name] = option.parse(self._parser.get_parsed_content(name)) if given else None
        return self._read[name]

    def __call__(self, *names: str) -> dict[str, Any]:
        """Several of them, by name."""
        return {name: getattr(self, name) for name in names}

    @property
    def compared(self) -> dict[str, Any]:
        """What a resumed run compares of them; paths are absolute, so that they are the same from any folder."""
        names = [name for name, option in self._declared.items() if option.compared]
        paths = [name for name in names if "path" in self._declared[name].kinds]
        return {**self(*names), **{name: _absolute(getattr(self, name)) for name in paths}}

    def __setattr__(self, name: str, _: Any) -> None:
        raise CrossDError(
            f"Options are read, not set, got {name!r}. Pass --{name} VALUE, or set the key of the config."
        )


def options(config: str | Sequence[str]) -> Options:
    """The options of the config that is being run, as `{"_target_": "crossd.options.options", "config": "train"}`.

    Other items then say `"$@options.epochs"`. An overlay adds its own list by `"+options::config": ["evaluate"]`, to a
    config that names a list.

    Raises:
        CrossDError: when it is not a config item that asks.
    """
    from monai.bundle import ConfigParser

    report_plainly()
    parser = caller_of(ConfigParser)
    if parser is None:
        raise CrossDError(
            f"Options are those of a config that MONAI resolves, got {config!r} from elsewhere. Name "
            "crossd.options.options as a `_target_`, or make an Options of a ConfigParser."
        )
    return Options(config, parser)


def settings(options: Options, **others: Any) -> dict[str, Any]:
    """What a resumed run compares: `Options.compared`, and what else decides its results.

    Args:
        others: JSON-able, by name.
    """
    return {**options.compared, **others}


def _absolute(value: Any) -> Any:
    from crossd.checkpoints.registry import PRETRAINED

    if isinstance(value, list):
        return [_absolute(one) for one in value]
    if value in PRETRAINED and not os.path.exists(value):  # weights by name, which is the same from any folder
        return value
    return None if value is None else os.path.abspath(os.path.expanduser(value))
