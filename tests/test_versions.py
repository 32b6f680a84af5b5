"""One version, in the package, the newest entry of CHANGELOG.md, the metadata of the bundle and CITATION.cff."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
import yaml
from crossd.version import __version__


@pytest.fixture(scope="module")
def metadata(root):
    return json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))


def test_changelog_starts_with_this_version(root):
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", (root / "CHANGELOG.md").read_text(), re.M)
    assert released, "CHANGELOG.md has no '## [x.y.z] - yyyy-mm-dd'"
    assert released[0][0] == __version__


def test_metadata_has_this_version_and_says_what_changed(metadata):
    assert metadata["version"] == __version__
    assert metadata["changelog"][__version__]
    assert metadata["card"]["crossd_version"] == __version__


def test_citation_has_this_version_and_the_date_of_the_changelog(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert f"## [{__version__}] - {citation['date-released']}" in (root / "CHANGELOG.md").read_text(encoding="utf-8")


def test_metadata_names_the_versions_that_are_pinned(root, metadata):
    pins = {}
    for line in (root / "constraints.txt").read_text().splitlines():
        requirement, _, marker = line.partition(";")
        if "==" in requirement and "<" not in marker:
            name, pinned = requirement.strip().split("==")
            pins[name.lower()] = pinned
    named = {
        "torch": metadata["pytorch_version"],
        "monai": metadata["monai_version"],
        "numpy": metadata["numpy_version"],
        **metadata["required_packages_version"],
    }
    assert {name: pins.get(name.lower()) for name in named} == named


def test_every_release_is_in_the_changelog_of_the_bundle(root, metadata):
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - ", (root / "CHANGELOG.md").read_text(), re.M)
    assert set(released) == set(metadata["changelog"])
    assert metadata["name"] in (root / "docs" / "README.md").read_text(encoding="utf-8").splitlines()[0]


def test_metadata_names_what_the_package_requires(root, metadata):
    """The zoo form brings its own copy of the package, so that nobody installs its requirements but by this list."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    required = {re.match(r"[\w-]+", need)[0] for need in project["dependencies"]}
    assert required - {"torch", "monai", "numpy"} == set(metadata["required_packages_version"])


def test_pins_satisfy_what_the_package_requires(root):
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = {}
    for pin in map(Requirement, filter(None, (root / "constraints.txt").read_text().splitlines()[2:])):
        pins.setdefault(canonicalize_name(pin.name), []).append(next(iter(pin.specifier)).version)
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    for need in map(Requirement, needs):
        assert pins.get(canonicalize_name(need.name)), f"{need.name} is not in constraints.txt"
        assert all(need.specifier.contains(version) for version in pins[canonicalize_name(need.name)]), need


def test_make_installs_the_torch_that_is_pinned(root):
    pinned = re.search(r"^torch==(\S+)$", (root / "constraints.txt").read_text(), re.M)[1]
    for name in ("Makefile", "scripts/maintain/check_release.sh"):
        assert set(re.findall(r"torch==([\d.]+)", (root / name).read_text())) == {pinned}


def test_the_test_data_is_the_file_its_readme_names(root):
    import hashlib

    schema = root / "tests" / "data" / "meta_schema_20240725.json"
    assert hashlib.sha256(schema.read_bytes()).hexdigest() in (schema.parent / "README.md").read_text()
