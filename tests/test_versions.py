"""One version, in the package, the newest entry of CHANGELOG.md, the metadata of the bundle and CITATION.cff."""

from __future__ import annotations

import json
import re

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


def test_the_test_data_is_the_file_its_readme_names(root):
    import hashlib

    schema = root / "tests" / "data" / "meta_schema_20240725.json"
    assert hashlib.sha256(schema.read_bytes()).hexdigest() in (schema.parent / "README.md").read_text()
