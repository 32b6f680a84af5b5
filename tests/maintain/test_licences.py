"""Every package that an installation brings leaves its users free, and the page lists it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from crossd.errors import CrossDError

from scripts.maintain.licences import EXPLAINED, check_licences, installed_packages, is_free, licence_of, main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def packages():
    return installed_packages()[0]


def test_all_of_them_are_free(packages):
    check_licences(packages)
    names = {package.name for package in packages}
    assert {"torch", "monai", "numpy", "itk", "pydicom", "itk-core", "sympy", "pytest", "ruff"} <= names
    needed_by = {package.name: package.needed_by for package in packages}
    assert (needed_by["sympy"], needed_by["ruff"]) == ("crossd", "crossd[dev]")  # torch needs sympy


def test_the_page_lists_them(packages):
    rows = re.findall(r"^\| ([\w.-]+) \| (.+?) \| crossd", (ROOT / "docs" / "licences.md").read_text(), re.M)
    listed = dict(rows)
    pins = re.findall(r'^([\w.-]+)==\S+ ; python_version (<|>=) "', (ROOT / "constraints.txt").read_text(), re.M)
    elsewhere = {name for name, _ in pins} - {name for name, which in pins if which == ">="}  # older Pythons need them
    lacking = {p.name for p in packages if listed.get(p.name) != p.licence and p.name not in elsewhere}
    assert not lacking, "run python -m scripts.maintain.licences --output docs/licences.md"


def test_each_exception_has_a_reason_and_a_use(packages):
    for licence, reason in EXPLAINED.items():
        assert len(reason) > 20
        assert any(licence in package.licence for package in packages), f"{licence} needs no exception any more"


@pytest.mark.parametrize(
    "licence", ["GPL-3.0-only", "AGPL-3.0", "LGPL-2.1", "MIT AND GPL-2.0", "SSPL-1.0", "UNKNOWN", "Proprietary", ""]
)
def test_what_is_not_free(licence):
    assert not is_free(licence)


def install(folder, name, *lines):
    """The metadata of a package as pip leaves it."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *lines]) + "\n")


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    install(
        tmp_path,
        "made-root",
        "Provides-Extra: more",
        "Requires-Dist: made-a",
        'Requires-Dist: made-b ; extra == "more"',
    )
    install(tmp_path, "made-a", "License-Expression: MIT", "Requires-Dist: made-c", "Requires-Dist: made-absent")
    install(tmp_path, "made-b", "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)")
    install(tmp_path, "made-c", "License: BSD", "Requires-Dist: made-a")
    return tmp_path


def test_cuda_of_the_build_of_torch_for_gpus_is_left_out(made):
    install(made, "made-gpu", "Requires-Dist: torch", "Requires-Dist: nvidia-own")
    install(made, "torch", "License-Expression: BSD-3-Clause", "Requires-Dist: nvidia-made", "Requires-Dist: made-b")
    install(made, "nvidia-made", "License: LicenseRef-NVIDIA-Proprietary")
    install(made, "nvidia-own", "License: LicenseRef-NVIDIA-Proprietary")
    found, _ = installed_packages("made-gpu")
    assert [p.name for p in found] == ["made-b", "nvidia-own", "torch"]  # ours would be seen


def test_needs_of_needs_and_of_extras(made):
    found, absent = installed_packages("made-root")
    assert [(p.name, p.needed_by, p.licence) for p in found] == [
        ("made-a", "made-root", "MIT"),
        ("made-b", "made-root[more]", "GNU General Public License v3 (GPLv3)"),
        ("made-c", "made-root", "BSD"),
    ]
    assert absent == ["made-absent"]
    with pytest.raises(CrossDError, match=r"made-b \(GNU General .*\(GPLv3\), for made-root\[more\]\)\. Repl"):
        check_licences(found)


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        (["License: Apache 2.0"], "Apache-2.0"),
        (["License: Apache License 2.0"], "Apache-2.0"),
        (["Classifier: License :: OSI Approved :: Apache Software License"], "Apache-2.0"),
        (["License: OSI Approved :: Apache Software License"], "Apache-2.0"),
        (["Classifier: License :: DFSG approved", "Classifier: License :: OSI Approved :: MIT License"], "MIT"),
        (["License: GPL and Apache License 2.0"], "GPL and Apache License 2.0"),
        (["Classifier: License :: OSI Approved"], ""),
        ([], ""),
    ],
)
def test_what_packages_write(tmp_path, monkeypatch, lines, licence):
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "made-one", *lines)
    assert licence_of("made-one") == licence


def test_the_command_fails_with_the_reason(made, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["licences", "--package", "made-root"])
    assert main() == 1
    said = capsys.readouterr()
    assert "| made-c | BSD | made-root |" in said.out
    assert "not looked at: made-absent" in said.err
    assert "error: Packages that crossd installs have a licence that leaves its users free; not known" in said.err
