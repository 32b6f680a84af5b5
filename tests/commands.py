"""Commands and a page's shell blocks, run in this process: torch and MONAI are imported once, not by each command."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HEREDOC = re.compile(r"^python - <<'(?P<end>\w+)'\n(?P<code>.*?)^(?P=end)$\n?", re.M | re.S)
NEEDS_A_SHELL = re.compile(r"[$&|;<>]|^\s*(for|torchrun)\b", re.M)


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """Puts back what a program sets for the process it takes to be its own."""
    import torch

    loggers = [
        logging.root,
        *(log for log in logging.root.manager.loggerDict.values() if isinstance(log, logging.Logger)),
    ]
    before = [(log, log.handlers[:], log.level, log.propagate, log.disabled) for log in loggers]
    arguments, path, environment = sys.argv, sys.path[:], dict(os.environ)
    threads, folder = torch.get_num_threads(), Path.cwd()
    try:
        yield
    finally:
        os.chdir(folder)
        sys.argv, sys.path[:] = arguments, path
        os.environ.clear()
        os.environ.update(environment)
        torch.set_num_threads(threads)
        for log, handlers, level, propagate, disabled in before:
            log.handlers[:], log.propagate, log.disabled = handlers, propagate, disabled
            log.setLevel(level)


def python(*arguments: object, cwd: Path | str | None = None) -> int:
    """Run `python -m MODULE …` or `python FILE …`: its exit status. What it raises is raised."""
    given = [str(argument) for argument in arguments]
    with _as_it_was():
        os.chdir(cwd or ".")
        try:
            if given[0] == "-m":
                sys.argv = given[1:]
                runpy.run_module(given[1], run_name="__main__", alter_sys=True)
            else:
                sys.argv = given
                sys.path.insert(0, str(Path(given[0]).resolve().parent))
                runpy.run_path(given[0], run_name="__main__")
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def bundle(config: object, cwd: Path | str | None = None, **options: object) -> int:
    """`python -m monai.bundle run` of a config, or a list of them, with options by name: its exit status."""
    files = str([str(file) for file in config]) if isinstance(config, (list, tuple)) else config
    named = [text for name, value in options.items() for text in (f"--{name}", value)]
    return python("-m", "monai.bundle", "run", "--config_file", files, *named, cwd=cwd)


def block(code: str, cwd: Path) -> None:
    """Run a shell block of a page: its `python` and `crossd` lines in this process, if no shell is needed."""
    heredocs = [found["code"] for found in HEREDOC.finditer(code)]
    lines = HEREDOC.sub("python -\n", code)
    if NEEDS_A_SHELL.search(re.sub(r"'[^']*'|\"[^\"]*\"", "", lines)):
        _shell(code, cwd)
        return
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        words = shlex.split(line, comments=True)
        if words[:2] == ["python", "-"]:
            with _as_it_was():
                os.chdir(cwd)
                exec(compile(heredocs.pop(0), line, "exec"), {"__name__": "__main__"})
        elif words[:1] in (["python"], ["crossd"]):
            status = python(*(words[1:] if words[0] == "python" else ["-m", "crossd.cli", *words[1:]]), cwd=cwd)
            assert status == 0, f"ended with {status}: {line}"
        elif words:
            _shell(line, cwd)


def _shell(code: str, cwd: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
