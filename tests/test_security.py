"""Files of others run no code, reach no other file, and names of patients stay in their headers."""

from __future__ import annotations

import ast
import gzip
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from crossd.checkpoints import save_checkpoint
from crossd.data import write_dicom_series
from crossd.data.images.corpus import open_source
from crossd.inference import network_from_card
from PIL import Image

from .commands import bundle

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [*sorted((ROOT / "bundle").rglob("*.py")), *sorted((ROOT / "scripts").glob("*.py"))]

# --- what reads files ------------------------------------------------------------------------------------

NEEDS = {  # function: the argument without which a file could run code
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
NEVER = re.compile(
    r"(cP|p)ickle\.(loads?|Unpickler)|marshal\.loads?|shelve\.open|(joblib|dill|cloudpickle)\.loads?"
    r"|yaml\.(load|load_all|unsafe_load|full_load)|eval|exec|os\.system|os\.popen|torch\.jit\.load"
    r"|.*\.(extractall|extract|unpack_archive)"
)
EXCEPTIONS = {
    ("scripts/convert_checkpoint.py", "torch.load"): "unpickles a file that its user names and trusts, and says so",
    ("bundle/crossd/export/torchscript.py", "torch.jit.load"): "a file that the lines before it wrote",
    ("bundle/crossd/inference/on_ray.py", "pickle.loads"): "no file: what the same run hands to its own workers",
}


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an expression; what is no name becomes `?`."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def unsafe_calls(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name, given = dotted(node.func), {word.arg: word.value for word in node.keywords}
        if name in NEEDS:
            argument, value = NEEDS[name]
            constant = given.get(argument)
            if not (isinstance(constant, ast.Constant) and constant.value is value):
                found.append(name)
        elif NEVER.fullmatch(name) or (isinstance(given.get("shell"), ast.Constant) and given["shell"].value):
            found.append(name)
    return found


def test_nothing_that_runs_what_a_file_holds():
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        allowed = {call for file, call in EXCEPTIONS if file == name}
        assert set(unsafe_calls(path.read_text(encoding="utf-8"))) - allowed == set(), path


def test_the_exceptions_are_still_there():
    for file, call in EXCEPTIONS:
        assert call in unsafe_calls((ROOT / file).read_text(encoding="utf-8")), f"{file} needs no exception any more"


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "np.load(path)",
        "pickle.load(file)",
        "yaml.load(text)",
        "archive.extractall(folder)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_it_would_be_seen(code):
    assert unsafe_calls(code)


def test_what_is_safe_passes():
    assert unsafe_calls("torch.load(p, weights_only=True); np.load(p, allow_pickle=False); network.eval()") == []


# --- archives --------------------------------------------------------------------------------------------


def test_a_link_in_a_zip_is_not_followed(tmp_path):
    """Nothing is unpacked, so a link is the few bytes of its target's name, which are no image."""
    secret = tmp_path / "secret.png"
    Image.fromarray(np.full((8, 8), 77, np.uint8)).save(secret)
    link = zipfile.ZipInfo("ct/link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr(link, str(secret))
        archive.write(secret, "mr/plain.png")
    source = open_source(tmp_path / "images.zip")
    assert (source.read("mr/plain.png") == 77).all()
    with pytest.raises(OSError, match="cannot identify image file"):
        source.read("ct/link.png")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["images.zip", "secret.png"]


# --- names of patients -----------------------------------------------------------------------------------

SECRET = {
    "PatientName": "HUSHSON^ANNABELL",
    "PatientID": "XQ4711ZZ",
    "PatientBirthDate": "19010203",
    "OtherPatientNames": "HUSHMAIDEN",
    "PatientAddress": "13 WHISPERLANE",
    "AccessionNumber": "ACC99887766",
    "ReferringPhysicianName": "QUIETDOC",
    "InstitutionName": "SILENTHOSPITAL",
}
WORDS = [word for value in SECRET.values() for word in re.split(r"[\^ ]", value) if len(word) > 3]


def hush(files, **changes):
    for file in files:
        image = pydicom.dcmread(file)
        for keyword, value in (SECRET | changes).items():
            setattr(image, keyword, value)
        image.save_as(file)


@pytest.fixture
def scans(tmp_path):
    """A good series, one with a gap, one that is cut short, and one whose slices are of two patients."""
    volume = np.random.default_rng(0).integers(0, 1000, (20, 24, 12)).astype(np.int16)
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    made = {
        name: write_dicom_series(tmp_path / "scans" / name, volume, affine, description=name)
        for name in ("good", "gap", "cut", "mixed")
    }
    for files in made.values():
        hush(files)
    for file in made["gap"][4:6]:
        os.unlink(file)
    made["cut"][5].write_bytes(made["cut"][5].read_bytes()[:-300])
    hush(made["mixed"][6:], PatientName="SECONDHUSH^BOB", PatientID="YY8899QQ")
    return tmp_path / "scans"


@pytest.fixture
def weights(tmp_path):
    card = json.loads((ROOT / "configs" / "metadata.json").read_text(encoding="utf-8"))["card"]
    card.pop("scope", None)  # of the shipped network
    card["network"] |= {"depth": 10, "width": 4}
    card["input"] |= {"roi_size": [16, 16, 16]}
    save_checkpoint(tmp_path / "model.pt", network_from_card(card), card=card)
    return tmp_path / "model.pt"


def content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def test_no_name_leaves_a_header(scans, weights, tmp_path, capfd, recwarn):
    """Of a whole run, with everything on that is not asked to show names: files, their names, and the log."""
    options = {"images": scans, "weights": weights, "saliency": "gradcam"}
    options |= {"output_dir": tmp_path / "out", "cache_dir": tmp_path / "cache"}
    assert bundle(ROOT / "configs" / "inference.json", cwd=tmp_path, **options) in (0, 2)
    said = "".join(capfd.readouterr()) + "".join(str(warning.message) for warning in recwarn)
    assert "INFO" in said
    written = [path for folder in ("out", "cache") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert {path.suffix for path in written} >= {".csv", ".json", ".html", ".gz", ".pt"}
    rows = (tmp_path / "out" / "predictions.csv").read_text()
    assert ",ok," in rows
    assert ",failed," in rows
    places = {str(path.relative_to(tmp_path)): content(path) for path in written}
    places |= {"log": said.encode(), "names": "\n".join(places).encode()}
    assert any(b"mixed" in data for data in places.values())  # a word that may be seen is found
    for word in [*WORDS, "SECONDHUSH", "YY8899QQ"]:
        for coded in (word.encode(), word.encode("utf-16-le")):
            assert [place for place, data in places.items() if coded.lower() in data.lower()] == [], word


# --- what the documentation says -------------------------------------------------------------------------


def test_pages_that_load_a_bundle_say_that_configs_run_code():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        if re.search(r"bundle\.load\(|bundle\.download\(|monai\.bundle download", text):
            assert re.search(r"security\.md|runs? code", text), f"say that the configs of a bundle run code: {page}"


# --- pip-audit -------------------------------------------------------------------------------------------


def audited(tmp_path, answer, code=0, errors=""):
    """What `scripts/maintain/audit.py` makes of a pip-audit that gives this answer."""
    tool = tmp_path / "pip-audit"
    (tmp_path / "answer").write_text(answer)
    (tmp_path / "errors").write_text(errors)
    tool.write_text(f'#!/bin/sh\ncat "{tmp_path}/answer"\ncat "{tmp_path}/errors" >&2\nexit {code}\n')
    tool.chmod(0o755)
    script = [sys.executable, str(ROOT / "scripts" / "maintain" / "audit.py"), "--pip_audit", str(tool)]
    return subprocess.run(script, capture_output=True, text=True)


def test_known_vulnerabilities_fail(tmp_path):
    bad = {"name": "six", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}]}
    good = {"name": "torch", "version": "2.13.0", "vulns": []}
    unknown = {"name": "own", "skip_reason": "Dependency not found on PyPI"}
    done = audited(tmp_path, json.dumps({"dependencies": [good, bad, unknown], "fixes": []}), code=1)
    assert done.returncode == 1
    assert "six 1.0: PYSEC-1 (fixed in 1.1 2.0)" in done.stdout
    assert "2 packages looked up, 1 with known vulnerabilities" in done.stdout
    assert "not looked up: Dependency not found on PyPI" in done.stdout


def test_no_known_vulnerabilities_pass(tmp_path):
    good = {"name": "torch", "version": "2.13.0", "vulns": []}
    done = audited(tmp_path, json.dumps({"dependencies": [good], "fixes": []}))
    assert (done.returncode, done.stdout) == (0, "audit: 1 packages looked up, 0 with known vulnerabilities\n")


def test_an_audit_that_cannot_be_made_says_so(tmp_path):
    refused = audited(tmp_path, "", code=1, errors="Traceback …\nConnectionError: Failed to resolve 'pypi.org'\n")
    assert refused.returncode == 0
    assert "audit skipped: the database of vulnerabilities gives no answer here: ConnectionError" in refused.stdout
    reason = "Dependency not found on PyPI and could not be audited: six (1.0)"
    nothing = audited(tmp_path, json.dumps({"dependencies": [{"name": "six", "skip_reason": reason}], "fixes": []}))
    assert nothing.returncode == 0
    assert f"audit skipped: the database of vulnerabilities gives no answer here: {reason}" in nothing.stdout
