"""The scripts of docs/guide/cluster.md: their syntax, the files and options that they name."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "guide" / "cluster.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.M | re.S)


def test_there_are_scripts_for_slurm() -> None:
    assert sum("#SBATCH" in script for script in SCRIPTS) == 3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: next(iter(re.findall("job-name=(.*)", script)), "line"))
def test_a_script_is_bash_and_names_what_there_is(script: str) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    done = subprocess.run([bash, "-n"], input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    configs = re.findall(r"configs/\w+\.json", script)
    keys = {key for name in configs for key in json.loads((ROOT / name).read_text(encoding="utf-8"))}
    if "monai.bundle" in script:
        options = set(re.findall(r"--(\w+)", script.partition("monai.bundle")[2])) - {"config_file"}
        assert options <= keys, f"{options - keys} are no options of {configs}"
