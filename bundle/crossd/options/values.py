"""What the options of a running config are: read from its top-level keys when they are asked for, by their kind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from crossd.callers import caller_of
from crossd.errors import CrossDError, one_of
from crossd.options.declared import declared

if TYPE_CHECKING:
    from monai.bundle import ConfigParser


class Options:
    """A read-only namespace of a config's options; `options` makes it.

    A value is resolved by the config's parser when it is asked for, so an option's default may depend on other items
    of the config that ask for options themselves.

    Args:
        config: name of the declared list, or several, of which later ones add and replace.
        parser: of the config that is being run.

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
            self._read[name] = option.parse(self._parser.get_parsed_content(name))
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

    Args:
        config: name of a declared list, or several.

    Raises:
        CrossDError: when it is not a config item that asks.
    """
    from monai.bundle import ConfigParser

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
        options: of the run.
        others: JSON-able, by name.
    """
    return {**options.compared, **others}


def _absolute(value: Any) -> Any:
    if isinstance(value, list):
        return [_absolute(one) for one in value]
    return None if value is None else os.path.abspath(os.path.expanduser(value))
