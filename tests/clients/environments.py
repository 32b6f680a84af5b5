"""The environments of `make test-clients`: one per client, beside `.venv`, whose torch and packages they share.

    python tests/clients/environments.py

A client's environment is a virtual environment whose `00_shared.pth` names the site-packages of `.venv`; what a client
needs beyond these is installed into it under constraints.txt: torch, numpy and MONAI keep their versions, and `.venv`
sees none of it. `crossd` itself goes to `.venv-clients/crossd`, from which clients take it that run without the
bundle directory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venv-clients"
INSTALLED = ENVIRONMENTS / "crossd"


@dataclass(frozen=True)
class Client:
    """What pip installs: `needs` with all that they need, `alone` without."""

    needs: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    stand_in: tuple[tuple[str, str], ...] = ()


CLIENTS = {
    # alone: cupy and tritonclient[all] are for GPUs and Triton servers; tritonclient pins ml-dtypes below 0.6, which
    # the ONNX packages of constraints.txt exceed. MONAI again, as `monai.deploy` must lie in the folder of `monai`.
    "deploy": Client(
        needs=(
            *("cloudpickle==3.1.2", "wheel-axle-runtime==0.0.13", "colorama==0.4.6", "typeguard==4.6.0"),
            *("python-rapidjson==1.25", "geventhttpclient==2.6.1", "highdicom==0.28.2"),
        ),
        alone=("monai==1.6.1", "monai-deploy-app-sdk==4.0.0", "holoscan-cu13==4.6.0", "tritonclient==2.73.0"),
    ),
    # alone: its requirements hold numpy below 2 and torchvision, which would replace torch. torchvision is imported for
    # pictures of 2D masks only, which nothing here draws; for a CPU build of torch PyPI has none.
    "label": Client(
        needs=(
            *("expiring-dict==1.1.2", "pydantic==2.14.3", "pydantic-settings==2.16.3", "python-dotenv==1.2.4"),
            *("pynrrd==1.1.3", "scikit-image==0.26.0", "shapely==2.2.0", "watchdog==7.1.0"),
        ),
        alone=("monailabel==0.8.5",),
        stand_in=(("torchvision/__init__.py", ""), ("torchvision/utils.py", "make_grid = save_image = None\n")),
    ),
    "nvflare": Client(needs=("nvflare==2.9.0",)),
    "zoo": Client(needs=("parameterized==0.9.0",)),
}


def python(name: str) -> Path:
    """The interpreter of a client's environment."""
    return ENVIRONMENTS / name / "bin" / "python"


def is_ready(name: str) -> bool:
    """Whether the environment is made, and of the packages above."""
    stamp = ENVIRONMENTS / name / "ready"
    return stamp.is_file() and stamp.read_text() == _digest(CLIENTS[name])


def make(name: str) -> None:
    """Make an environment, unless it is ready."""
    if is_ready(name):
        return
    folder, client = ENVIRONMENTS / name, CLIENTS[name]
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    (packages / "00_shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    for needed, options in ((client.needs, ()), (client.alone, ("--no-deps", "--ignore-installed"))):
        if needed:
            _pip(python(name), *options, "--constraint", str(ROOT / "constraints.txt"), *needed)
    for path, text in client.stand_in:
        (packages / path).parent.mkdir(exist_ok=True)
        (packages / path).write_text(text)
    (folder / "ready").write_text(_digest(client))


def install_crossd() -> None:
    """The package as it is now, without its requirements, into a folder of its own."""
    shutil.rmtree(INSTALLED, ignore_errors=True)
    _pip(Path(sys.executable), "--no-deps", "--no-build-isolation", "--target", str(INSTALLED), str(ROOT))


def _pip(interpreter: Path, *arguments: str) -> None:
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, env={**os.environ, "PIP_NO_WARN_CONFLICTS": "1"})


def _digest(client: Client) -> str:
    return hashlib.sha256(repr(client).encode()).hexdigest()


if __name__ == "__main__":
    for each in CLIENTS:
        print(f"{each}: {python(each)}", flush=True)
        make(each)
    install_crossd()
