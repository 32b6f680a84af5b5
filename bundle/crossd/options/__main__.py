"""The page of all options: `python -m crossd.options > docs/options.md`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from crossd.options.declared import OPTIONS
from crossd.options.option import Option

HEADING = """# Options

Every option of every config: `--NAME VALUE` on the command line, or a key of a config of your own that is given last.
A name that no config declares or reads ends the run with the nearest one. `true`, `false` and `null` may be written in
any case, and `none` is `null`. **r** marks what must be the same when a run is resumed. A default that begins with `$`
or `@` is taken from other entries of the config.

On the command line a path or a text is what you type: `2024`, `1e3`, `a,b`, `$x` and `@y` are folders of these names,
and `./none` is one too. MONAI reads two kinds of values before `crossd` can see them, what begins with `%`, and what
begins with `$` and holds `import`: write `./%x`. In lists, text that reads as a number has quotes: `"['2.10','CT']"`.
In a config file `$`, `@` and `%` at the beginning of a text, and `#` in it, are MONAI's. The `crossd` commands, which
run the same configs ([commands](guide/commands.md)), take every word as it is.

This page is what `python -m crossd.options` prints.
"""
OVERLAYS = {
    "inference_trt": "inference",
    "evaluate": "train",
    "train_segmentation": "train",
    "evaluate_segmentation": "train.json and train_segmentation",
    "train_hybrid": "train",
    "train_2d": "pretrain_2d",
    "unseen_decay_2d": "pretrain_2d",
}
COMPLETE = ("train_segmentation",)  # their lists are whole; those of other overlays add to that of what they change


def page() -> str:
    """The text of the page.

    >>> page().splitlines()[0]
    '# Options'
    """
    links = ", ".join(f"[{name}](#{name})" for name in OPTIONS)
    return "\n".join([HEADING, f"{links}\n", *(_section(name, options) for name, options in OPTIONS.items())])


def _section(name: str, options: Sequence[Option]) -> str:
    base = OVERLAYS.get(name)
    added = "" if name in COMPLETE else ", whose options it takes too, but for these"
    about = f"Changes {base}.json{added}.\n\n" if base else ""
    rows = [_row(option) for option in sorted(options, key=lambda option: option.name)]
    header = "| option | takes | default | |\n|---|---|---|---|\n"
    return f"## {name}\n\n`configs/{name}.json`. {about}".rstrip() + f"\n\n{header}{''.join(rows)}"


def _row(option: Option) -> str:
    default = json.dumps(option.default, ensure_ascii=False).replace("|", r"\|")
    mark = " **r**" if option.compared else ""
    return f"| `{option.name}`{mark} | {_cell(option.takes)} | `{default}` | {_cell(option.help)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*")


if __name__ == "__main__":
    print(page(), end="")
