"""The bundle root is that of the config being run, wherever the package is imported from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from crossd import CrossDError, __version__
from crossd.bundle import bundle_root, check_version
from monai.bundle import ConfigWorkflow


def make_bundle(folder: Path, version: str = __version__) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "metadata.json").write_text(json.dumps({"version": version}))
    config = {
        "bundle_root": {"_target_": "crossd.bundle.bundle_root"},
        "checked": {"_target_": "crossd.bundle.check_version", "bundle_root": "@bundle_root"},
        "weights": "$@bundle_root + '/models/model.pt'",
        "run": ["$@weights"],
    }
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    return folder


def workflow(folder: Path, **options: str) -> ConfigWorkflow:
    config = str(folder / "configs" / "inference.json")
    made = ConfigWorkflow(config, workflow_type=None, logging_file=False, **options)
    made.initialize()
    return made


def test_it_is_the_config_files_bundle_from_any_directory(tmp_path, monkeypatch):
    first, second = make_bundle(tmp_path / "first"), make_bundle(tmp_path / "second")
    monkeypatch.chdir(first)  # a working directory that is itself a bundle does not win
    for folder in (first, second):
        assert workflow(folder).run() == [str(folder / "models" / "model.pt")]
    monkeypatch.chdir(tmp_path)
    relative = ConfigWorkflow("second/configs/inference.json", workflow_type=None, logging_file=False)
    relative.initialize()
    assert relative.run() == [str(second / "models" / "model.pt")]


def test_an_override_wins(tmp_path):
    assert workflow(make_bundle(tmp_path / "first"), bundle_root="/elsewhere").run() == ["/elsewhere/models/model.pt"]


def test_without_a_workflow_the_working_directory_then_the_package_decide(tmp_path, monkeypatch):
    made = make_bundle(tmp_path / "first")
    monkeypatch.chdir(made)
    assert bundle_root() == str(made)


def test_no_bundle_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("crossd.bundle.__file__", str(tmp_path / "a" / "b" / "bundle.py"))
    with pytest.raises(CrossDError, match=r"holds configs/metadata.json; none found in .*Pass --bundle_root DIR"):
        bundle_root()


def test_another_version_is_an_error_that_names_both(tmp_path):
    check_version(str(make_bundle(tmp_path / "same")))
    with pytest.raises(
        CrossDError, match=rf"says version 9.9.9, but the crossd imported from .* is version {__version__}"
    ):
        check_version(str(make_bundle(tmp_path / "other", version="9.9.9")))
    with pytest.raises(CrossDError, match=r"states its version in .*metadata.json; it cannot be read"):
        check_version(str(tmp_path))
