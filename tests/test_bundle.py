"""The zoo form stands on its own: it is complete, loads its own weights, verifies, exports and runs, without network.

Most tests here give it a small network with random weights; `test_the_shipped_model…` takes those of `models/`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import crossd
import pytest
import torch
from crossd.checkpoints import read_card
from crossd.data import preprocessing
from crossd.data.nifti import write_nifti
from crossd.data.phantoms import vessel_phantom
from crossd.errors import CrossDError
from crossd.inference import WindowInferer, network_from_card

from scripts.maintain.zoo import NAME, build_zoo_bundle

from .configs import csv_rows

ROOT = Path(__file__).resolve().parents[1]


def random_weights(seed, metadata):
    torch.manual_seed(seed)
    card = json.loads(metadata.read_text())["card"]
    network = network_from_card(card)
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """What `make bundle` starts from, with random weights of a small network."""
    repository = tmp_path_factory.mktemp("repository")
    shutil.copy(ROOT / "LICENSE", repository)
    for folder in ("configs", "docs", "models", "bundle/crossd"):
        without = shutil.ignore_patterns(
            "__pycache__", "*.pt", "results", "performance", "*.png"
        )  # nothing here reads it
        shutil.copytree(ROOT / folder, repository / folder, ignore=without)
    metadata = repository / "configs" / "metadata.json"
    content = json.loads(metadata.read_text())
    content["card"]["network"] |= {"depth": 10, "width": 4}
    del content["card"]["scope"]  # of the shipped network
    metadata.write_text(json.dumps(content))
    torch.save(random_weights(0, metadata), repository / "models" / "model.pt")
    return repository


@pytest.fixture(scope="module")
def zoo(repository, tmp_path_factory):
    """The folder that holds the zoo bundle."""
    return build_zoo_bundle(repository, tmp_path_factory.mktemp("zoo")).parent


@pytest.fixture
def copy_of_zoo(zoo, tmp_path):
    """A second bundle of the same name, with weights of its own."""
    shutil.copytree(zoo / NAME, tmp_path / NAME, ignore=shutil.ignore_patterns("__pycache__"))
    weights = random_weights(1, tmp_path / NAME / "configs" / "metadata.json")
    torch.save(weights, tmp_path / NAME / "models" / "model.pt")
    return tmp_path


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Another working directory, and no network."""

    def refuse(*args, **kwargs):
        raise OSError("the test forbids the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


def load(bundle_dir, workflow_type):
    from monai.bundle import load

    return load(NAME, bundle_dir=str(bundle_dir), workflow_type=workflow_type)


def assert_has_weights(network, path):
    expected = torch.load(path, weights_only=True)
    actual = network.state_dict()
    assert list(actual) == list(expected)
    assert all(torch.equal(actual[name].cpu(), expected[name]) for name in expected)


# --- what is in it ---------------------------------------------------------------------------------------


def is_code(path):
    """Whether a file below the package is part of it, and not what Python or an editor left there."""
    return path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")


def test_what_is_no_python_is_installed_too():
    """Of the package's data files: those of the zoo form are those of a wheel."""
    package = ROOT / "bundle" / "crossd"
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["crossd"]
    installed = {path for pattern in patterns for path in package.glob(pattern)}
    assert {path for path in package.rglob("*") if is_code(path) and path.suffix != ".py"} == installed


def test_it_is_complete_and_holds_nothing_else(zoo):
    bundle = zoo / NAME
    assert {path.name for path in bundle.iterdir()} == {"LICENSE", "configs", "crossd", "docs", "models"}
    assert (bundle / "docs" / "data_license.txt").is_file()
    package = {path.relative_to(ROOT / "bundle") for path in (ROOT / "bundle" / "crossd").rglob("*") if is_code(path)}
    assert Path("crossd/report/page.js") in package
    assert {path.relative_to(bundle) for path in (bundle / "crossd").rglob("*") if path.is_file()} == package
    assert sorted(path.name for path in (bundle / "models").iterdir()) == ["README.md", "model.pt", "model.ts"]
    assert not list(bundle.rglob("__pycache__"))
    assert NAME.endswith("_classification")


@pytest.mark.slow
def test_a_build_replaces_an_older_one(repository, tmp_path):
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "stale.txt").write_text("of an older build")
    bundle = build_zoo_bundle(repository, tmp_path)
    assert bundle == tmp_path / NAME
    assert (bundle / "LICENSE").is_file()
    assert not (bundle / "stale.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_what_cannot_be_built_is_refused(repository, tmp_path):
    with pytest.raises(CrossDError, match="ends in '_classification', got 'vessels'"):
        build_zoo_bundle(repository, tmp_path, name="vessels")
    broken = tmp_path / "broken"
    shutil.copytree(repository, broken)
    (broken / "models" / "model.pt").unlink()
    (broken / "docs" / "data_license.txt").unlink()
    with pytest.raises(CrossDError, match=r"A zoo bundle needs models/model\.pt, docs/data_license\.txt; not found in"):
        build_zoo_bundle(broken, tmp_path)
    (broken / "docs" / "data_license.txt").touch()
    with (broken / "models" / "model.pt").open("wb") as file:
        file.truncate(25 * 10**6 + 1)
    with pytest.raises(CrossDError, match=r"takes files up to 25 MB; models/model\.pt has 25\.0 MB"):
        build_zoo_bundle(broken, tmp_path)
    assert not (tmp_path / NAME).exists()


# --- MONAI's own commands, without network ---------------------------------------------------------------


@pytest.mark.parametrize("workflow_type", ["inference", "train"])
def test_each_bundle_loads_its_own_weights(zoo, copy_of_zoo, offline, workflow_type):
    """`crossd` comes from a third place, this checkout, whose `models/` neither of them takes."""
    for folder in (zoo, copy_of_zoo):
        assert_has_weights(load(folder, workflow_type), folder / NAME / "models" / "model.pt")


def test_metadata_satisfies_the_schema(zoo, offline, tmp_path):
    from monai.bundle import verify_metadata

    schema = shutil.copy(ROOT / "tests" / "data" / "meta_schema_20240725.json", tmp_path / "schema.json")
    verify_metadata(meta_file=str(zoo / NAME / "configs" / "metadata.json"), filepath=str(schema))
    assert json.loads((zoo / NAME / "configs" / "metadata.json").read_text())["schema"].endswith(
        "meta_schema_20240725.json"
    )


def test_the_network_takes_and_gives_what_the_metadata_says(zoo, offline):
    from monai.bundle import verify_net_in_out

    configs = zoo / NAME / "configs"
    files = {"meta_file": str(configs / "metadata.json"), "config_file": str(configs / "inference.json")}
    verify_net_in_out("network_def", device="cpu", bundle_root=str(zoo / NAME), **files)


@pytest.mark.slow
def test_it_exports_to_torchscript(zoo, offline, tmp_path):
    from monai.bundle import ckpt_export

    bundle = zoo / NAME
    ckpt_export(
        "network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(bundle / "models" / "model.pt"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
        bundle_root=str(bundle),
    )
    volume = torch.randn(1, 1, 32, 32, 32)
    expected = load(zoo, "inference").eval().cpu()(volume)
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(volume), expected, atol=1e-5, rtol=1e-4)


# --- python -m monai.bundle run --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_nifti(tmp_path_factory.mktemp("scan") / "scan.nii.gz", vessel_phantom(0, aneurysm=True))


# runs when Python starts: takes an installed crossd away, and says so where it does not succeed
WITHOUT_CROSSD = """
import importlib.util, os, sys
sys.path[:] = [entry for entry in sys.path if not os.path.isdir(os.path.join(entry or ".", "crossd"))]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
if importlib.util.find_spec("crossd") is not None:
    os._exit(99)
"""


def assert_answers_of(bundle, scan, output_dir):
    """The written probabilities are those of the weights in this bundle."""
    card = read_card(bundle / "models" / "model.pt")
    network = network_from_card(card).eval()
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    volume = preprocessing(card["input"])({"image": str(scan)})["image"]
    expected = WindowInferer(card["input"]["roi_size"])(volume[None], network)[0]
    row = csv_rows(output_dir / "predictions.csv")[0]
    assert row["status"] == "ok"
    actual = [float(row[f"probability_{name}"]) for name in card["class_names"]]
    torch.testing.assert_close(torch.tensor(actual), expected, atol=2e-6, rtol=0)
    return actual


@pytest.mark.slow
def test_it_runs_where_crossd_is_not_installed(zoo, scan, tmp_path):
    start = tmp_path / "start"
    start.mkdir()
    (start / "sitecustomize.py").write_text(WITHOUT_CROSSD)
    arguments = ["--config_file", zoo / NAME / "configs" / "inference.json", "--images", scan]
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", *arguments, "--output_dir", tmp_path / "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(start)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert_answers_of(zoo / NAME, scan, tmp_path / "out")
    assert "<b>1</b> listed" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def workflow_of(bundle, scan, output_dir):
    """The inference workflow in this process, in which crossd has been imported from this checkout."""
    from monai.bundle import create_workflow

    return create_workflow(
        config_file=str(bundle / "configs" / "inference.json"),
        workflow_type="inference",
        images=str(scan),
        output_dir=str(output_dir),
        device="cpu",
    )


def test_it_takes_its_own_weights_where_crossd_is_installed_from_elsewhere(zoo, copy_of_zoo, scan, tmp_path, offline):
    answers = []
    for number, folder in enumerate((zoo, copy_of_zoo)):
        workflow_of(folder / NAME, scan, tmp_path / f"out_{number}").run()
        answers.append(assert_answers_of(folder / NAME, scan, tmp_path / f"out_{number}"))
    assert answers[0] != pytest.approx(answers[1], abs=1e-4)


def test_crossd_of_another_version_is_refused(copy_of_zoo, scan, tmp_path, offline):
    file = copy_of_zoo / NAME / "configs" / "metadata.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": "9.9.9"}))
    with pytest.raises((CrossDError, RuntimeError)) as caught:
        workflow_of(copy_of_zoo / NAME, scan, tmp_path / "out").run()
    package = Path(crossd.__file__).parent
    expected = f"says version 9.9.9, but the crossd imported from {package} is version {crossd.__version__}"
    assert expected in chain(caught.value)
    assert not (tmp_path / "out" / "predictions.csv").exists()


def chain(error):
    """The messages of an exception and of its causes."""
    return f"{error}\n{chain(error.__cause__)}" if error is not None else ""


# --- the shipped model, and the zoo's own checks ---------------------------------------------------------


def test_the_shipped_model_is_the_one_that_is_loaded(tmp_path, offline):
    bundle = build_zoo_bundle(ROOT, tmp_path)
    assert_has_weights(load(tmp_path, "inference"), ROOT / "models" / "model.pt")
    assert (bundle / "models" / "model.pt").read_bytes() == (ROOT / "models" / "model.pt").read_bytes()


def test_verify_zoo_says_why_it_is_skipped_and_what_is_wrong(tmp_path):
    script = ROOT / "scripts" / "maintain" / "verify_zoo.sh"
    skipped = subprocess.run(["bash", script, "", tmp_path], capture_output=True, text=True, check=True)
    assert "skipped: ZOO is not set" in skipped.stdout
    wrong = subprocess.run(["bash", script, tmp_path, tmp_path], capture_output=True, text=True)
    assert wrong.returncode == 1
    assert "is not a checkout of the model zoo" in wrong.stderr


@pytest.mark.slow
def test_the_zoos_own_checks(zoo):
    checkout = os.environ.get("ZOO")
    if not checkout:
        pytest.skip("set ZOO to a checkout of https://github.com/Project-MONAI/model-zoo")
    done = subprocess.run(
        ["bash", ROOT / "scripts" / "maintain" / "verify_zoo.sh", checkout, zoo / NAME],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "passed the model zoo's checks" in done.stdout
