"""What `make release` builds: a wheel with the whole package and nothing else, and the sdist it is built from."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from crossd.version import __version__

ROOT = Path(__file__).resolve().parents[2]


def package_files():
    """Of the package as it is in the repository."""
    files = (path for path in (ROOT / "bundle" / "crossd").rglob("*") if path.is_file())
    return {
        path.relative_to(ROOT / "bundle").as_posix()
        for path in files
        if "__pycache__" not in path.parts and not path.name.startswith(".")
    }


def bundle_files():
    """Configs and weights, so that the commands run where there is no clone."""
    configs = [
        *(ROOT / "configs").glob("*.json"),
        *(ROOT / "configs").rglob("*.yaml"),
        ROOT / "configs" / "logging.conf",
    ]
    return {path.relative_to(ROOT).as_posix() for path in [*configs, ROOT / "models" / "model.pt"]}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and sdist, made as `make release` does, of a copy: building leaves files in the tree."""
    pytest.importorskip("build", reason="wheels are made by the package build: crossd[dev]")
    copy = tmp_path_factory.mktemp("source")
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "MANIFEST.in",
        "CHANGELOG.md",
        "CITATION.cff",
        "constraints.txt",
    ):
        shutil.copy(ROOT / name, copy)
    for name in ("bundle", "configs", "models", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "golden"))
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", copy / "dist", copy],
        env={**os.environ, "PIP_CONSTRAINT": str(ROOT / "constraints.txt")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return copy / "dist"


@pytest.mark.slow
def test_the_wheel_is_the_package(built):
    with zipfile.ZipFile(built / f"crossd-{__version__}-py3-none-any.whl") as wheel:
        info, data = f"crossd-{__version__}.dist-info", f"crossd-{__version__}.data/data/share/crossd/"
        shipped = {name for name in wheel.namelist() if not name.startswith(f"{info}/")}
        assert {name for name in shipped if not name.startswith(data)} == package_files()
        assert {name.removeprefix(data) for name in shipped if name.startswith(data)} == bundle_files()
        metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
        assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert (metadata["Name"], metadata["Version"]) == ("crossd", __version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra")) >= {"codecs", "dicom", "export", "dev"}
    assert metadata.get_payload().startswith("# crossd")


@pytest.mark.slow
def test_the_sdist_has_what_the_wheel_is_made_of(built):
    """`build` makes the wheel of it, so this is about what else is there."""
    with tarfile.open(built / f"crossd-{__version__}.tar.gz") as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    assert {f"bundle/{name}" for name in package_files()} <= names
    assert {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "constraints.txt", "pyproject.toml"} <= names
    assert not [name for name in names if name.startswith("tests")]


def test_the_package_has_no_measurements_and_no_tools_of_maintainers():
    parts = {part.removesuffix(".py") for name in package_files() for part in name.split("/")}
    assert not parts & {"benchmark", "benchmarks", "faults", "zoo", "licences", "maintain"}


def test_the_targets_are_there_and_check_what_they_build():
    made = subprocess.run(["make", "-n", "check-release"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    steps = ["-m build --outdir dist/release", "--zip dist/release", "> SHA256SUMS", "check_release.sh dist/release"]
    places = [made.index(step) for step in steps]
    assert places == sorted(places)


def test_a_release_whose_files_changed_is_not_tried(tmp_path):
    wheel = tmp_path / f"crossd-{__version__}-py3-none-any.whl"
    wheel.write_bytes(b"one")
    script = ["bash", str(ROOT / "scripts" / "maintain" / "check_release.sh"), str(tmp_path)]
    bare = subprocess.run(script, capture_output=True, text=True)
    assert bare.returncode != 0
    assert "SHA256SUMS" in bare.stderr
    sums = subprocess.run(["sha256sum", wheel.name], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    (tmp_path / "SHA256SUMS").write_text(sums)
    wheel.write_bytes(b"two")
    changed = subprocess.run(script, capture_output=True, text=True)
    assert changed.returncode != 0
    assert f"{wheel.name}: FAILED" in changed.stdout
