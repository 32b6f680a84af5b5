"""What the zoo form adds to the repository: `model.ts`, large files elsewhere, and the zip that MONAI downloads."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from crossd.checkpoints import load_pretrained, read_card
from crossd.errors import CrossDError
from crossd.files import sha256
from crossd.inference import network_from_card
from crossd.version import __version__

from scripts.maintain import zoo
from scripts.maintain.zoo import NAME, build_zoo_bundle, zip_bundle


@pytest.fixture(scope="module")
def repository(root, tmp_path_factory):
    """What `make bundle` starts from, with a small network."""
    repository = tmp_path_factory.mktemp("repository")
    shutil.copy(root / "LICENSE", repository)
    for folder in ("configs", "docs", "models", "bundle/crossd"):
        shutil.copytree(
            root / folder, repository / folder, ignore=shutil.ignore_patterns("__pycache__", "*.pt", "*.png")
        )
    file = repository / "configs" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["card"].pop("scope", None)  # of the shipped network
    metadata["card"]["network"] |= {"depth": 10, "width": 4}
    metadata["card"]["input"] |= {"roi_size": [16, 16, 16]}
    file.write_text(json.dumps(metadata))
    torch.manual_seed(0)
    torch.save(network_from_card(metadata["card"]).state_dict(), repository / "models" / "model.pt")
    return repository


@pytest.fixture
def crowded(monkeypatch, repository):
    """A zoo that takes nothing as large as `model.pt` and `model.ts`."""
    others = [path for path in repository.rglob("*") if path.is_file() and path.suffix not in (".pt", ".gz")]
    largest = max(path.stat().st_size for path in others)
    assert (repository / "models" / "model.pt").stat().st_size > largest
    monkeypatch.setattr(zoo, "LARGEST_FILE", largest)


def outputs(network, card):
    volume = torch.rand(2, 1, *card["input"]["roi_size"], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network(volume)


def test_model_ts_is_the_model_and_the_config_of_this_bundle(repository, tmp_path):
    from monai.bundle import load, load_bundle_config

    bundle = build_zoo_bundle(repository, tmp_path)
    network, metadata, extra = load(
        NAME, bundle_dir=str(tmp_path), load_ts_module=True, config_files=("inference.json",), device="cpu"
    )
    card = read_card(bundle / "models" / "model.pt")
    original = network_from_card(card).eval()
    load_pretrained(original, str(bundle / "models" / "model.pt"), strict_head=True)
    torch.testing.assert_close(outputs(network, card), outputs(original, card), atol=1e-4, rtol=0)
    assert metadata == json.loads((bundle / "configs" / "metadata.json").read_text())
    config = json.loads(extra["inference.json"])
    written = json.loads((bundle / "configs" / "inference.json").read_text())
    assert {**config, "card": written["card"]} == written
    assert load_bundle_config(str(bundle / "models" / "model.ts"), "inference.json").get_parsed_content("card") == card


def test_it_holds_what_a_run_needs_and_the_model_card(repository, tmp_path):
    """No guide, no measurement, no tool of maintainers; and what its pages link to is in it."""
    bundle = build_zoo_bundle(repository, tmp_path)
    files = [path for path in bundle.rglob("*") if path.is_file()]
    assert len(files) <= 400
    assert sorted(path.name for path in (bundle / "docs").rglob("*")) == ["README.md", "data_license.txt"]
    assert not [path for path in files if {"benchmark", "benchmarks", "maintain", "scripts"} & set(path.parts)]
    pages = [path for path in files if path.suffix == ".md"]
    assert len(pages) == 2
    for page in pages:
        targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        assert [target for target in targets if not (page.parent / target).exists()] == [], page


def test_model_ts_is_made_anew(repository, tmp_path):
    """It follows the configs, whatever lies beside the weights."""
    changed = tmp_path / "repository"
    shutil.copytree(repository, changed)
    (changed / "models" / "model.ts").write_text("of last year")
    config = changed / "configs" / "inference.json"
    config.write_text(config.read_text().replace('"overlap": 0.5', '"overlap": 0.25'))
    bundle = build_zoo_bundle(changed, tmp_path / "out")
    with zipfile.ZipFile(bundle / "models" / "model.ts") as archive:
        assert json.loads(archive.read("model/extra/inference.json"))["overlap"] == 0.25


def test_large_files_are_listed_and_can_be_fetched(repository, tmp_path, crowded):
    """By MONAI itself, from where they were put."""
    from monai.bundle import download_large_files

    url = (tmp_path / f"{NAME}_large_files").as_uri()
    bundle = build_zoo_bundle(repository, tmp_path, large_files_url=f"{url}/")
    listed = yaml.safe_load((bundle / "large_files.yml").read_text())["large_files"]
    assert [(entry["path"], entry["url"]) for entry in listed] == [
        ("models/model.pt", f"{url}/model.pt"),
        ("models/model.ts", f"{url}/model.ts"),
    ]
    for entry in listed:
        assert entry["hash_type"] == "sha256"
        assert entry["hash_val"] == sha256(tmp_path / f"{NAME}_large_files" / Path(entry["path"]).name)
        assert not (bundle / entry["path"]).exists()
    assert listed[0]["hash_val"] == sha256(repository / "models" / "model.pt")

    download_large_files(bundle_path=str(bundle))
    assert (bundle / "models" / "model.pt").read_bytes() == (repository / "models" / "model.pt").read_bytes()


def test_large_files_without_an_address(repository, tmp_path, crowded):
    with pytest.raises(CrossDError, match=r"takes files up to 0 MB; models/model\.pt has .*--large_files_url URL"):
        build_zoo_bundle(repository, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_the_export_is_too_large(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "LARGEST_FILE", (repository / "models" / "model.pt").stat().st_size)
    write = zoo.export_network

    def larger(weights, to, output_dir, **options):
        write(weights, to, output_dir, **options)
        with (output_dir / "model.ts").open("ab") as file:
            file.write(bytes(10**7))

    monkeypatch.setattr(zoo, "export_network", larger)
    with pytest.raises(CrossDError, match=r"models/model\.ts has .* MB\. Say where it will be downloaded from"):
        build_zoo_bundle(repository, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_large_is_not_listed(repository, tmp_path):
    bundle = build_zoo_bundle(repository, tmp_path, large_files_url="https://example.org")
    assert not (bundle / "large_files.yml").exists()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_the_zip_is_what_monai_downloads(repository, tmp_path):
    from monai.bundle import download

    bundle = build_zoo_bundle(repository, tmp_path)
    (bundle / "crossd" / "__pycache__").mkdir()
    (bundle / "crossd" / "__pycache__" / "x.pyc").touch()
    first = zip_bundle(bundle, tmp_path / "release")
    assert first == tmp_path / "release" / f"{NAME}_v{__version__}.zip"
    checksum = sha256(first)
    (bundle / "LICENSE").touch()  # another time, the same content
    assert sha256(zip_bundle(bundle, tmp_path / "release")) == checksum
    assert [path.name for path in (tmp_path / "release").iterdir()] == [first.name]

    download(NAME, url=first.as_uri(), bundle_dir=str(tmp_path / "got"))
    shutil.rmtree(bundle / "crossd" / "__pycache__")
    expected = {path.relative_to(bundle): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    got = tmp_path / "got" / NAME
    assert {path.relative_to(got): path.read_bytes() for path in got.rglob("*") if path.is_file()} == expected
