"""What installs crossd otherwise than `make setup` installs the same: versions, extras, files that are there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib

import pytest
import yaml


@pytest.fixture
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


def test_torch_is_the_pinned_one(root):
    (pinned,) = re.findall(r"^torch==\S+", (root / "constraints.txt").read_text(), re.M)
    for name in ("Dockerfile", "environment.yml"):
        assert re.findall(r"torch==[\d.]+", (root / name).read_text()) == [pinned], name


def test_python_and_extras_are_those_of_the_project(root, project):
    docker, conda = (root / "Dockerfile").read_text(), yaml.safe_load((root / "environment.yml").read_text())
    least = tuple(map(int, project["requires-python"].removeprefix(">=").split(".")))
    python = [re.search(r"python[:=](\d+)\.(\d+)", text) for text in (docker, str(conda["dependencies"]))]
    assert all(tuple(map(int, found.groups())) >= least for found in python)
    extras = [*re.findall(r"EXTRAS=(\S+)", docker), *re.findall(r"\.\[(.*?)\]", (root / "environment.yml").read_text())]
    assert len(extras) == 2
    assert {name for some in extras for name in some.split(",")} <= set(project["optional-dependencies"])


def test_an_image_runs_the_command_as_no_root(root, project):
    lines = (root / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["crossd"]' in lines
    assert "crossd" in project["scripts"]
    assert lines.index("USER 1000") > max(n for n, line in enumerate(lines) if line.startswith(("RUN", "COPY")))


def test_it_is_linted_where_hadolint_is(root):
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(["hadolint", str(root / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
