"""What the documentation shows is run: Python blocks, shell blocks, and the links between pages.

A block is run unless the line above it is `<!-- not run: REASON -->`; by `make test-all` only where it is
`<!-- slow -->`. In shell blocks, lines that install, clone, make or change folders are left out; the rest runs in a
copy of the layout of the repository, on what `workplace` provides.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OTHER_PAGES = [
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "models").glob("*.md")),
    *sorted((ROOT / "scripts").rglob("*.md")),
    *sorted((ROOT / "tests").rglob("*.md")),
]
BLOCK = re.compile(
    r"(<!-- not run: (?P<reason>.*?) -->\n)?(?P<slow><!-- slow -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.M | re.S,
)
NOT_RUN = re.compile(r"^\s*(make|pip|git|cd|python3? -m (pip|venv))\b")


@dataclass
class Block:
    page: Path
    line: int
    language: str
    code: str
    reason: str | None
    slow: bool = False

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("code")) + 1,
            found["language"],
            found["code"],
            found["reason"],
            bool(found["slow"]),
        )
        for found in BLOCK.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks(page)]
SHELL = [
    pytest.param(block, marks=[pytest.mark.slow] if block.slow else [], id=str(block))
    for block in BLOCKS
    if block.language == "bash"
]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """The repository as a reader sees it, with small inputs under the names that the pages use."""
    from crossd.data.nifti_writing import write_nifti
    from crossd.data.phantoms import vessel_phantom

    folder = tmp_path_factory.mktemp("readme")
    for name in ("configs", "models", "scripts", "docs", "bundle", "LICENSE"):
        (folder / name).symlink_to(ROOT / name)
    write_nifti(folder / "scans" / "a.nii.gz", vessel_phantom(0, aneurysm=True))
    rows = ["image,label,patient"]
    for seed in range(4):
        for label, aneurysm in (("healthy", False), ("aneurysm", True)):
            write_nifti(folder / "data" / f"{label}_{seed}.nii.gz", vessel_phantom(seed, aneurysm, size=28))
            rows.append(f"{label}_{seed}.nii.gz,{label},{seed}_{label}")
    (folder / "data" / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks(page, workplace, monkeypatch):
    """The Python blocks of a page, one after the other in one namespace; `>>>` ones must show what they show."""
    monkeypatch.chdir(workplace)
    names: dict = {"__name__": "documentation"}
    for block in blocks(page):
        if block.language != "python" or block.reason:
            continue
        if block.code.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(block.code, names, str(block), str(page), block.line - 1)
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.FAIL_FAST)
            report: list[str] = []
            runner.run(test, out=report.append, clear_globs=False)
            assert not runner.failures, "".join(report)
            names.update(test.globs)
        else:
            code = "\n" * (block.line - 1) + block.code  # tracebacks then name the line of the page
            exec(compile(code, str(page), "exec"), names)


@pytest.mark.parametrize("block", SHELL)
def test_shell_blocks(block, workplace):
    if block.reason:
        pytest.skip(block.reason)
    code = "\n".join(line for line in block.code.splitlines() if not NOT_RUN.match(line))
    if not code.strip():
        return
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=workplace,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{block}\n{code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def test_few_blocks_are_not_run():
    runnable = [block for block in BLOCKS if block.language in ("python", "bash")]
    runnable = [block for block in runnable if block.reason != "make test-clients does"]  # it runs them
    assert len([block for block in runnable if block.reason]) <= len(runnable) // 4


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)#]+)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_two_commands_stand_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\nmake demo" in readme
    assert "\nmake test" in readme
