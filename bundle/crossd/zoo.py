"""Assemble the self-contained form of the bundle that the MONAI model zoo and MONAI Label take.

`<name>/{LICENSE, configs, models, docs, crossd}`: this package lies beside the configs, so that
`python -m monai.bundle run` finds it without an installation. Kept are the rules of the zoo (the files it demands, none
above 25 MB) and of MONAI Label, which reads the task from the folder's name.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from crossd.bundle import check_version
from crossd.errors import CrossDError

NAME = "crossd_vessel_classification"
TASK = "_classification"
LARGEST_FILE = 25 * 10**6  # bytes; larger ones the zoo wants by a link in large_files.yml
_PARTS = {  # in the bundle: where it is in the repository, and what of it is taken
    "configs": ("configs", ("*.json", "*.yaml", "*.conf")),
    "models": ("models", ("model.pt", "README.md")),
    "docs": ("docs", ("*.md", "*.txt", "*.png", "*.svg", "*.json")),
    "crossd": ("bundle/crossd", ("*.py", "*.json", "*.css", "*.html", "*.js")),
}
_NEEDED = (
    "LICENSE",
    "configs/metadata.json",
    "configs/inference.json",
    "configs/train.json",
    "configs/logging.conf",
    "models/model.pt",
    "docs/README.md",
    "docs/data_license.txt",
    "crossd/__init__.py",
)


def build_zoo_bundle(repository: str | os.PathLike[str], output_dir: str | os.PathLike[str], name: str = NAME) -> Path:
    """Copy what the bundle consists of to `output_dir/name`; an older build there is replaced at the end.

    Args:
        repository: the root of this repository, which is a bundle root too.
        output_dir: made where it is missing.
        name: of the bundle; ends in `_classification`.

    Returns:
        The root of the new bundle.

    Raises:
        CrossDError: the name, a missing or too large file, or a `metadata.json` of another version.
    """
    repository, output_dir = Path(repository), Path(output_dir)
    if not name.endswith(TASK):
        raise CrossDError(f"The name of a classification bundle ends in {TASK!r}, got {name!r}. MONAI Label reads it.")
    check_version(str(repository))
    files = _files(repository)
    missing = [path for path in _NEEDED if Path(path) not in files]
    if missing:
        raise CrossDError(
            f"A zoo bundle needs {', '.join(missing)}; not found in {repository}. "
            "Run this on a complete checkout (configs/train.json makes models/model.pt)."
        )
    for path, source in files.items():
        if source.stat().st_size > LARGEST_FILE:
            raise CrossDError(
                f"The model zoo takes files up to {LARGEST_FILE / 1e6:.0f} MB; {path} has "
                f"{source.stat().st_size / 1e6:.1f} MB. Use a narrower network, or list it in large_files.yml."
            )
    output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".building-") as unfinished:
        for path, source in files.items():
            target = Path(unfinished) / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        shutil.rmtree(output_dir / name, ignore_errors=True)
        (Path(unfinished) / name).rename(output_dir / name)
    return output_dir / name


def _files(repository: Path) -> dict[Path, Path]:
    """Path in the bundle → file in the repository."""
    files = {}
    if (repository / "LICENSE").is_file():
        files[Path("LICENSE")] = repository / "LICENSE"
    for part, (folder, patterns) in _PARTS.items():
        for pattern in patterns:
            for source in sorted((repository / folder).rglob(pattern)):
                files[Path(part) / source.relative_to(repository / folder)] = source
    return files
