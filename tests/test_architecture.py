"""The dependency arrows of the library and of scripts, and their shortest description: imports come from the left."""

from __future__ import annotations

import ast
import warnings
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bundle" / "crossd"
ARROW = [  # braces are siblings that do not import one another; a new module joins one of these, or adds a step
    # texts: what others wrote, where people look; callers: who on the call stack asks; registry: names of weights
    {"texts", "version", "callers", "checkpoints.registry"},
    {"errors"},
    {"files"},  # every file that is written whole, held or digested
    {"bundle", "options", "precision", "allocation"},  # where it is, what it is run with, where amp may be, memory
    {"processes"},  # how those that torchrun starts meet; inference and training both need it
    {"motion", "pseudo3d"},  # mathematics that `import crossd` offers: pseudo3d must not load what reads scans (data)
    {"conv"},
    {"baselines"},
    {"cards.gaussian", "cards.tasks"},
    {"cards.scope"},
    # entries of a card, so that the rules may read them
    {"cards.scope_entry", "cards.operating_point", "cards.covariates", "cards.isotonic"},
    {"cards.rules"},  # what a checkpoint's card must be; the rest of cards reads checkpoints
    {"convert", "checkpoints"},
    {"networks"},
    {"cards"},
    {"data"},
    {"inference"},
    {"evaluation"},
    {"training"},  # its end says how well it is calibrated
    {"ssl", "segmentation"},  # runs of their own, by the parts of training: how they are resumed, seeded and shared
    {"report", "export", "pictures"},
    {"plan"},
    {"case_run", "probe", "folds"},  # the inference of a bundle, a regression on frozen features, a cross-validation
    {"serve", "distillation"},  # its log tells reasons as the report does, without names
    {"cli"},
]
SCRIPTS_ARROW = [  # of packages below scripts, right of the whole library; scripts for users import the library alone
    {"pages"},
    {"benchmarks.runs"},  # what the topics with stored runs share
    {
        "benchmarks.transfer",
        "benchmarks.segmentation",
        "benchmarks.speed",
        "benchmarks.faults",
        "benchmarks.many_cases",
        "benchmarks.evidence",
        "benchmarks.scope",
    },
    {"benchmarks.probe"},  # the draws of transfer
    {"benchmarks.yardstick"},  # the tasks of probe
    {"benchmarks.receiving"},  # the small model of many_cases, and how that looks at a process
    {"maintain"},
]
STEP = {name: step for step, names in enumerate(ARROW) for name in names}
HEAVY = (
    "itk",
    "matplotlib",
    "tensorboard",
    "torch.utils.tensorboard",
    "scipy.stats",
    "highdicom",
    "sklearn",
    "pyarrow",
)  # seconds each: import where used
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = ROOT / "scripts"
SCRIPT_STEP = {name: step for step, names in enumerate(SCRIPTS_ARROW) for name in names}
SCRIPT_MODULES = sorted(path for path in SCRIPTS.rglob("*.py") if path.read_text(encoding="utf-8"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def place_of(module: str) -> str:
    """The name in the arrow that a module, or what it holds, belongs to: `conv.layer` is of `conv`."""
    first, *rest = module.split(".")
    inner = ".".join([first, *rest[:1]])
    return inner if inner in STEP else first


def part_of(path: Path) -> str:
    """That of a file: `conv/layer.py` is of `conv`."""
    return place_of(".".join(path.relative_to(PACKAGE).with_suffix("").parts))


def imported(tree: ast.AST) -> list[str]:
    """Dotted names of what a module imports, with `from a import b` as `a.b`; inside functions too."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return names


def test_a_module_imports_only_from_its_left():
    for path in [path for path in MODULES if path.parent != PACKAGE or path.name != "__init__.py"]:
        part = part_of(path)
        assert part in STEP, f"{part} has no place in the arrow: add it to ARROW and say why it stands there"
        for name in imported(tree_of(path)):
            assert not name.startswith("."), f"{path} imports {name}: imports are absolute here"
            root, _, rest = name.partition(".")
            if root == "crossd":
                other = place_of(rest)
                assert other in STEP, f"{path} imports {name}, which is not in the arrow"
                assert other == part or STEP[other] < STEP[part], f"{path} imports {name}, which is not on its left"


def script_part(dotted: str) -> str:
    """The name in the arrow of scripts that a module below `scripts` belongs to; itself where it has no place there."""
    return next((name for name in SCRIPT_STEP if f"{dotted}.".startswith(f"{name}.")), dotted)


def test_scripts_import_only_from_their_left():
    """A topic takes from another only what stands in `runs`; the library never imports `scripts`, see below."""
    for path in SCRIPT_MODULES:
        part = script_part(".".join(path.relative_to(SCRIPTS).with_suffix("").parts).removesuffix(".__init__"))
        assert part in SCRIPT_STEP or path.parent == SCRIPTS or path.name == "__init__.py", (
            f"{part} has no place in the arrow: add it to SCRIPTS_ARROW"
        )
        for name in imported(tree_of(path)):
            assert not name.startswith("."), f"{path} imports {name}: imports are absolute here"
            root, _, rest = name.partition(".")
            if root == "scripts":
                other = script_part(rest)
                assert part in SCRIPT_STEP, f"{path} imports {name}: a script for users imports the library alone"
                assert other in SCRIPT_STEP, f"{path} imports {name}, which is not in the arrow"
                assert other == part or SCRIPT_STEP[other] < SCRIPT_STEP[part], (
                    f"{path} imports {name}, not on its left"
                )


def test_the_library_never_imports_scripts():
    for path in MODULES:
        names = imported(tree_of(path))
        assert not [name for name in names if name.split(".")[0] == "scripts"], path


def test_heavy_packages_are_imported_where_they_are_used():
    for path in MODULES:
        top = ast.Module([node for node in tree_of(path).body], [])
        top.body = [node for node in top.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        heavy = [name for name in imported(top) if any(name == h or name.startswith(f"{h}.") for h in HEAVY)]
        assert not heavy, f"{path} imports {', '.join(heavy)} when it is imported: move that into the function"


ONE_PLACE = {  # what makes text that people see, and the only modules that may: `crossd.texts` is not passed by
    "csv": {"data/delimited.py"},
    "pandas": set(),
    "polars": set(),
    "html": {"texts.py"},
    "print": {"cli/help.py", "errors.py", "options/__main__.py"},
}


def test_nothing_is_shown_past_what_makes_it_printable():
    for path in MODULES:
        tree = tree_of(path)
        used = {name.split(".")[0] for name in imported(tree)}
        used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "print"}
        for name in used & set(ONE_PLACE):
            assert name_of(path) in ONE_PLACE[name], f"{path} uses {name}: see crossd.texts and crossd.data.delimited"


def test_a_file_is_one_idea_and_short():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in [*MODULES, *SCRIPT_MODULES]}
    assert {str(path): count for path, count in lines.items() if count > 400} == {}
    for path, count in lines.items():
        if count > 250:
            warnings.warn(f"{path.relative_to(ROOT)} has {count} lines: is there a second idea in it?", stacklevel=1)


def test_scripts_are_thin():
    scripts = [*SCRIPTS.glob("*.py"), *SCRIPTS.rglob("__main__.py")]
    assert len(scripts) > 10
    assert {path.name: count for path in scripts if (count := len(path.read_text().splitlines())) > 60} == {}
