"""What the documentation shows is run: Python blocks, shell blocks, and the links between pages.

A block is run unless the line above it is `<!-- not run: REASON -->`; by `make test` those of the README that are not
`<!-- slow -->`, by `make test-all` all. In shell blocks, lines that install, clone, make or change folders are left
out. A page has a copy of the layout of the repository to itself, with what `workplace` provides; shell blocks run in
this process.
"""

from __future__ import annotations

import doctest
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from .commands import block as run_block

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


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


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


def runs(block: Block) -> bool:
    return block.language in ("python", "bash") and not block.reason


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Small inputs under the names that the pages use."""
    from crossd.data.nifti import write_nifti
    from crossd.data.phantoms import vessel_phantom

    folder = tmp_path_factory.mktemp("inputs")
    write_nifti(folder / "scans" / "a.nii.gz", vessel_phantom(0, aneurysm=True))
    rows = ["image,label,patient"]
    for seed in range(5):  # a patient of each class for each of five folds
        for label, aneurysm in (("healthy", False), ("aneurysm", True)):
            write_nifti(folder / "data" / f"{label}_{seed}.nii.gz", vessel_phantom(seed, aneurysm, size=28))
            rows.append(f"{label}_{seed}.nii.gz,{label},{seed}_{label}")
    (folder / "data" / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def workplace(inputs, tmp_path, monkeypatch):
    """The repository as a reader sees it, with the inputs; the working directory of the test."""
    for name in ("configs", "models", "scripts", "docs", "bundle", "LICENSE"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_python(block, names):
    """A block in the namespace of its page; where it has `>>>` it must show what it shows."""
    if not block.code.startswith(">>>"):
        code = "\n" * (block.line - 1) + block.code  # tracebacks then name the line of the page
        exec(compile(code, str(block.page), "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(block.code, names, str(block), str(block.page), block.line - 1)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.FAIL_FAST)
    report: list[str] = []
    runner.run(test, out=report.append, clear_globs=False)
    assert not runner.failures, "".join(report)
    names.update(test.globs)


def run_page(page, workplace, slow):
    """The blocks of a page, one after the other: what one of them leaves, a later one may take."""
    names: dict = {"__name__": "documentation"}
    for block in filter(runs, blocks(page)):
        if block.slow and not slow:
            continue
        print(f"\n--- {block}")
        if block.language == "python":
            run_python(block, names)
        else:
            run_block("\n".join(line for line in block.code.splitlines() if not NOT_RUN.match(line)), workplace)


def test_what_the_readme_shows_runs(workplace):
    run_page(ROOT / "README.md", workplace, slow=False)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", [page for page in PAGES if any(map(runs, blocks(page)))], ids=name_of)
def test_what_a_page_shows_runs(page, workplace):
    run_page(page, workplace, slow=True)


def test_few_blocks_are_not_run():
    runnable = [block for block in BLOCKS if block.language in ("python", "bash")]
    runnable = [block for block in runnable if block.reason != "make test-clients does"]  # it runs them
    assert len([block for block in runnable if block.reason]) <= len(runnable) // 4


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=name_of)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)#]+)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_two_commands_stand_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\nmake demo" in readme
    assert "\nmake test" in readme
