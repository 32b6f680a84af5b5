"""One option of a config: its name, what kind of value it takes, and how that is read."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from crossd.errors import CrossDError, one_of

WORDS = {"true": True, "1": True, "false": False, "0": False}
NO_VALUE = ("none", "null")


@dataclass(frozen=True)
class Option:
    """An option, which is a top-level key of its config.

    Attributes:
        kind: of the value, one of `KINDS`, or several of which one fits.
        default: as the config holds it; text that begins with `$` or `@` is MONAI's expression or reference.
        help: what it is, unit and special values, in one line of at most 80 characters.
        compared: whether a run is only resumed under an equal value.
        choices: the words that `"choice"` allows; `none` among them is a value of its own, which null is not.
        optional: whether `null` is a value. It is where it is the default.
        item: whether its default is an item that other programs look for under its name; it is null then.
    """

    name: str
    kind: str | tuple[str, ...]
    default: Any
    help: str
    compared: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False
    item: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """`kind` as a tuple."""
        return (self.kind,) if isinstance(self.kind, str) else self.kind

    def parse(self, value: Any) -> Any:
        """A value as it comes from JSON, YAML or the command line, as one of this option's kind.

        The command line gives `true` as text, `2024` as a number and `a,b` as a tuple; all mean one thing here.
        `null` and `none`, in any case, are no value, where that is allowed.

        Raises:
            CrossDError: when it is of another kind.

        >>> Option("resume", "switch", True, "go on").parse("true"), Option("images", "path", None, "").parse(2024)
        (True, '2024')
        >>> Option("epochs", "integer", 50, "").parse("half")
        Traceback (most recent call last):
            ...
        crossd.errors.CrossDError: `epochs` must be a whole number; got 'half'. Pass --epochs 50.
        """
        word = value.lower() if isinstance(value, str) else value
        if word is None or (word in NO_VALUE and word not in self.choices):
            if self.optional or self.default is None:
                return None
            raise self._refused(value)
        if self.kinds == ("choice",):
            return one_of(self.name, value, self.choices)
        for kind in self.kinds:
            try:
                return self._choice(value) if kind == "choice" else KINDS[kind][0](value)
            except (ValueError, SyntaxError, TypeError, OverflowError):
                continue
        raise self._refused(value)

    def _choice(self, value: Any) -> str:
        word = str(value).lower() if str(value).lower() in NO_VALUE else str(value)
        return word if word in self.choices else str(_fail())

    @property
    def takes(self) -> str:
        """What it takes, in words."""
        choices = [", ".join(self.choices)] if "choice" in self.kinds else []
        words = [*choices, *(KINDS[kind][1] for kind in self.kinds if kind != "choice")]
        return " or ".join([*words, *(["null"] if self.optional or self.default is None else [])])

    def _refused(self, value: Any) -> CrossDError:
        evaluated = self.default is None or (isinstance(self.default, str) and self.default[:1] in ("$", "@"))
        shown = str(self.default).lower() if isinstance(self.default, bool) else self.default
        remedy = "Leave it out for its default" if evaluated else f"Pass --{self.name} {shown}"
        if isinstance(value, (int, float, tuple)) and {"path", "text", "paths", "texts"} & {*self.kinds}:
            remedy = f"Text that reads as a number or a list needs two kinds of quotes: --{self.name} '\"…\"'"
        return CrossDError(f"`{self.name}` must be {self.takes}; got {value!r}. {remedy}.")


def compared(*options: Option) -> tuple[Option, ...]:
    """The same, of which a run is only resumed under equal values."""
    return tuple(replace(option, compared=True) for option in options)


def with_defaults(options: Iterable[Option], **defaults: Any) -> tuple[Option, ...]:
    """Those of some options that are named, with other defaults.

    >>> with_defaults((Option("epochs", "integer", 50, ""), Option("seed", "integer", 0, "")), epochs=15)[0].default
    15
    """
    return tuple(replace(option, default=defaults[option.name]) for option in options if option.name in defaults)


def _switch(value: Any) -> bool:
    return WORDS[str(value).lower()] if str(value).lower() in WORDS else _fail()


def _fail(*_: Any) -> Any:
    raise ValueError


def _number(value: Any) -> int | float:
    if isinstance(value, bool):
        raise ValueError
    return value if isinstance(value, (int, float)) else _either(str(value))


def _either(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _integer(value: Any) -> int:
    number = _number(value)
    return int(number) if number == int(number) else _fail()


def _text(value: Any) -> str:
    """Text; what the command line has made of `2024` or `True` is put back, of `1e3` it cannot be."""
    return str(value) if isinstance(value, (str, int)) or hasattr(value, "__fspath__") else _fail()


def _path(value: Any) -> str:
    if isinstance(value, tuple) and len(value) > 1:  # `a,b`
        return ",".join(map(_text, value))
    return _text(value) or _fail()


def _list(item: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def parse(value: Any) -> list[Any]:
        value = ast.literal_eval(value) if isinstance(value, str) else value
        return [item(one) for one in value] if isinstance(value, (list, tuple)) else _fail()

    return parse


def _texts(value: Any) -> list[str]:
    """A list of names; `age,sex` is one too."""
    if isinstance(value, str) and value[:1] not in ("[", "("):
        return [part.strip() or _fail() for part in value.split(",")]
    return _list(_text)(value)


def _mapping(value: Any) -> dict[str, Any]:
    value = ast.literal_eval(value) if isinstance(value, str) else value
    return dict(value) if isinstance(value, dict) else _fail()


def _device(value: Any) -> Any:
    import torch

    try:
        return torch.device(value)
    except RuntimeError:
        return _fail()


KINDS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "switch": (_switch, "true or false"),
    "integer": (_integer, "a whole number"),
    "number": (_number, "a number"),
    "text": (_text, "text"),
    "path": (_path, "a path"),
    "index": (lambda value: value if type(value) is int else _fail(), "a number counted from 0"),
    "integers": (_list(_integer), "a list of whole numbers, as in [64,64,64]"),
    "numbers": (_list(_number), "a list of numbers, as in [0.5,1]"),
    "texts": (_texts, "names, as in a,b or ['a','b']"),
    "paths": (_list(_path), "a list of paths, as in ['a','b']"),
    "lists": (_list(_list(_integer)), "a list of sizes, as in [[16,16,16]]"),
    "mapping": (_mapping, "names and values, as in {'a':1}"),
    "device": (_device, "a device of torch, as cpu or cuda:0"),
    "choice": (_fail, "one of a few words"),
}
