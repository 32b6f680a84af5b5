"""docs/clients.md: what the clients answered, in which versions."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import distributions

from . import environments

SHOWN = {
    ".venv": ("torch", "monai", "numpy", "pydicom", "itk", "pytorch-ignite"),
    "deploy": ("monai-deploy-app-sdk", "holoscan-cu13", "highdicom"),
    "label": ("monailabel",),
    "nvflare": ("nvflare",),
}
COLUMNS = ("client", "series", "probabilities", "difference from bundle run")


@dataclass(frozen=True)
class Answer:
    """The probabilities of the classes, and their largest difference from those of `bundle run`."""

    client: str
    series: str
    probabilities: list[float]
    difference: float


@dataclass
class Found:
    """All answers, and sentences about what else was run."""

    answers: list[Answer] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)


def table(found: Found) -> str:
    """The answers, series by series, as a Markdown table."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS)]
    for answer in sorted(found.answers, key=lambda answer: answer.series):  # stable: clients as they were run
        values = ", ".join(f"{value:.6f}" for value in answer.probabilities)
        difference = "–" if answer.client == "bundle run" else f"{answer.difference:.1e}"
        rows.append((answer.client, answer.series, values, difference))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def versions() -> dict[str, str]:
    """Of the packages that matter, by name."""
    found = {}
    for name, packages in SHOWN.items():
        folders = [] if name == ".venv" else list((environments.ENVIRONMENTS / name).glob("lib/*/site-packages"))
        installed = distributions(path=list(map(str, folders))) if folders else distributions()
        by_name = {item.metadata["Name"].lower(): item.version for item in installed}
        found |= {package: by_name[package] for package in packages if package in by_name}
    return found


def text(found: Found) -> str:
    """The page."""
    listed = " · ".join(f"{name} {version}" for name, version in versions().items())
    largest = max(answer.difference for answer in found.answers)
    weights = hashlib.sha256((environments.ROOT / "models" / "model.pt").read_bytes()).hexdigest()[:16]
    sentences = "\n".join(f"- {sentence}" for sentence in sorted(set(found.sentences)))
    return f"""# The bundle in its clients

Written by `make test-clients` on {date.today().isoformat()} with Python {platform.python_version()}. It takes the
code of every client from [the guide](guide/deploy.md), [its page on federated learning](guide/federated.md) included,
and runs it. CI does not, for time.

Probabilities of the classes (healthy, aneurysm) by the model whose `models/model.pt` has the SHA-256
`{weights}…`, for the same DICOM series; the largest difference is
{largest:.1e}. `made_…` are phantoms, `mr_prostate_adc` is an oblique MR series of a scanner. The model is for vessel
shapes, so what it says of that one means nothing but that the same was computed.

{table(found)}

What `bundle run` refuses because nothing reads it, an option that is misspelt say, the others take without a word:
MONAI Deploy, MONAI Label, `MonaiAlgo`, `monai.bundle.load` and MONAI's exports never evaluate a config's `run`, whose
first entry looks.

Besides:

{sentences}

{listed}
"""
