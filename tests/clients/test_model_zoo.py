"""The model zoo's own checks, and the unit test to hand in, in a copy of the zoo: ZOO=<checkout of the model zoo>."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
UNIT_TEST = HERE / "zoo" / "test_crossd_vessel_classification.py"


@pytest.fixture(scope="module")
def zoo():
    checkout = os.environ.get("ZOO")
    if not checkout:
        pytest.skip("set ZOO to a checkout of https://github.com/Project-MONAI/model-zoo")
    return Path(checkout)


def test_verify_bundle(zoo, bundle, root, found):
    command = ["bash", root / "scripts" / "maintain" / "verify_zoo.sh", zoo, bundle]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found.sentences.append("Model zoo: `ci/verify_bundle.py`, full mode without network, passes.")


def test_unit_test_of_the_zoo(zoo, bundle, run, found, tmp_path):
    shutil.copytree(zoo / "ci", tmp_path / "ci")
    shutil.copytree(bundle, tmp_path / "models" / bundle.name)
    shutil.copy(UNIT_TEST, tmp_path / "ci" / "unit_tests")
    run("zoo", tmp_path, "ci/unit_tests/runner.py", "--b", bundle.name)
    found.sentences.append(
        f"Model zoo: `{UNIT_TEST.name}` passes by the zoo's `ci/unit_tests/runner.py`: train, evaluate, inference."
    )
