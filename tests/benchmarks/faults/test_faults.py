"""Law: whatever is done to a file, it ends as an answer or a reason, and the good cases beside it are not touched."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from crossd.data import declared_sizes
from crossd.errors import CrossDError
from monai.bundle import ConfigWorkflow

from scripts.benchmarks.faults import Outcome, run_campaign, runs, write_campaign
from scripts.benchmarks.faults.campaign import DAMAGE, Campaign
from scripts.benchmarks.faults.file_damage import FILE_DAMAGE, NotPossible
from scripts.benchmarks.faults.judgement import DEFECTS, judge
from scripts.benchmarks.faults.sources import make_sources
from scripts.benchmarks.faults.table import table
from scripts.benchmarks.faults.watch import Watched, watch

pytestmark = pytest.mark.slow  # whole runs

KINDS = {kind for damages in DAMAGE.values() for kind in damages}
CONFIG = Path(__file__).resolve().parents[3] / "configs" / "inference.json"


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else path.is_symlink()
        for path in folder.iterdir()
    }


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return make_sources(tmp_path_factory.mktemp("good"))


def test_every_damage_damages(sources, tmp_path):
    """Files are compared, by name and content."""
    used = ("nifti", "nifti_pair", "nhdr", "mha", "dicom")
    pairs = [(source, kind) for source in sources if source.name in used for kind in DAMAGE[source.kind]]
    for source, kind in pairs:
        if source.name != "nifti" and kind in FILE_DAMAGE:  # these know no format
            continue
        changed = False
        for seed in range(4):  # a flipped bit may hit what was zero anyway
            folder = tmp_path / f"{source.name} {kind} {seed}"
            source.copy_to(folder)
            before = content(folder)
            try:
                DAMAGE[source.kind][kind](folder, np.random.default_rng(seed))
            except NotPossible:
                changed = True
                break
            if changed := content(folder) != before:
                break
        assert changed, (source.name, kind)


def test_phantoms_and_scans_of_ones_own(sources, tmp_path):
    from scripts.benchmarks.faults.sources import copy_sources

    copied = copy_sources(sources[0].folder.parent, tmp_path / "copies")
    assert sorted(source.kind for source in copied) == sorted(source.kind for source in sources)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.nii").write_bytes(b"")
    with pytest.raises(CrossDError, match=r"A fault campaign needs good cases to damage: there is none under '.*none'"):
        copy_sources(tmp_path / "none", tmp_path / "other")


@pytest.mark.parametrize(
    ("rows", "result"),
    [
        ([], "lost"),
        ("memory", "memory"),
        ([{"status": "failed", "reason": "ValueError: what", "warnings": []}], "unnamed"),
        ([{"status": "failed", "reason": "", "warnings": []}], "unnamed"),
        ([{"status": "failed", "reason": "A file must be whole.", "warnings": []}], "refused"),
        ([{"status": "ok", "reason": None, "probabilities": {"a": float("nan")}, "warnings": []}], "unnamed"),
        ([{"status": "ok", "reason": None, "probabilities": {"a": 0.5}, "warnings": []}], "same"),
        ([{"status": "ok", "reason": None, "probabilities": {"a": 0.6}, "warnings": []}], "changed"),
        ([{"status": "ok", "reason": None, "probabilities": {"a": 0.6}, "warnings": ["odd"]}], "warned"),
    ],
)
def test_judgement(rows, result):
    expected = [{"status": "ok", "reason": None, "probabilities": {"a": 0.5}, "warnings": []}]
    found = judge("a", "truncated", rows, expected)
    assert found.result == result
    assert bool(Campaign([found]).defects) == (result in DEFECTS)


def test_the_watch():
    done = watch([sys.executable, "-c", "import sys; print('said'); sys.exit(3)"], 60, 2**31)
    assert (done.code, done.ended, done.tail) == (3, "", "said\n")
    assert done.peak > 0


def test_the_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- faults:begin (made) -->\nold\n<!-- faults:end -->\nafter\n")
    outcomes = [Outcome("a", "truncated", "refused"), Outcome("b", "truncated", "crash")]
    write_campaign(page, Campaign(outcomes, 12.0, 2**30, 2**29), "2 inputs.")
    text = page.read_text()
    assert "2 inputs. The runs took 12 s; their largest resident set was 1024 MiB, 512 MiB with the good" in text
    assert "| **all** | **2** | **0** | **0** | **1** | **0** | **0** | **1** |" in text
    assert text.startswith("before\n<!-- faults:begin")
    assert text.endswith("<!-- faults:end -->\nafter\n")
    assert table(outcomes) in text
    page.write_text("nothing")
    with pytest.raises(CrossDError, match=r"written between its marks; .*page\.md holds one block .* found 0\. Put"):
        write_campaign(page, Campaign([]), "")


def in_this_process(command, timeout, limit, **environment):
    """The same run without the seconds that a process takes to start."""
    options = {name[2:]: value for name, value in zip(command[4::2], command[5::2], strict=True)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(declared_sizes, "MAX_VOXELS", int(environment["CROSSD_MAX_VOXELS"]))
        config = ConfigWorkflow(options.pop("config_file"), workflow_type="infer", logging_file=False, **options)
        config.initialize()
        config.run()
    return Watched(0, "", 0.0, 2**30, "")


@pytest.mark.parametrize("count", [len(KINDS), pytest.param(600, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_a_campaign_finds_no_defect(count, monkeypatch):
    """Every kind of damage at least once. The short campaign is run in this process."""
    if count == len(KINDS):
        monkeypatch.setattr(runs, "watch", in_this_process)
    campaign = run_campaign(CONFIG, count, seed=1, timeout=600)
    assert campaign.defects == []
    assert len(campaign.outcomes) == count
    assert {outcome.kind for outcome in campaign.outcomes} == KINDS
    assert Counter(outcome.result for outcome in campaign.outcomes)["refused"] > count // 4


def test_good_cases_must_be_good(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"")
    with pytest.raises(CrossDError, match="needs good cases to damage"):
        run_campaign(CONFIG, 1, cases=tmp_path)


def test_a_run_that_dies_is_repeated_on_halves_down_to_the_one(tmp_path):
    class Run:
        def __init__(self):
            self.found = []

        def __call__(self, images):
            below = [images] if images.name != "run" else sorted(images.iterdir())
            died = any(folder.name == "c" for folder in below)
            self.found = [] if died else [{"source": f"{folder}/scan.nii", "status": "ok"} for folder in below]
            return Watched(-9 if died else 0, "", 1.0, 0, "")

    folders = [tmp_path / name for name in "abcd"]
    for folder in folders:
        folder.mkdir()
    rows = runs.run_all(Run(), folders)
    assert rows[folders[2]] == "crash"
    assert [rows[folder] for folder in folders if folder.name != "c"] == [
        [{"source": f"{folder}/scan.nii", "status": "ok"}] for folder in folders if folder.name != "c"
    ]


def test_scans_of_ones_own_may_be_large(sources, tmp_path, monkeypatch):
    seen = []

    def ended(command, timeout, limit, **environment):
        seen.append(environment)
        return Watched(1, "", 0.0, 0, "")

    monkeypatch.setattr(runs, "watch", ended)
    for cases in (None, sources[0].folder):
        with pytest.raises(CrossDError, match="Good cases must succeed before they are damaged; "):
            run_campaign(CONFIG, 1, cases=cases, weights="model.pt")
    assert [environment.get("CROSSD_MAX_VOXELS") for environment in seen] == [str(2**24), None]


@pytest.mark.parametrize("binding", [True, False])
def test_permissions_are_tried_where_they_bind(sources, tmp_path, monkeypatch, binding):
    """A superuser may have given up the capability to read everything, so who it is says nothing."""
    sources[0].copy_to(tmp_path / "copy")
    monkeypatch.setattr("os.access", lambda path, mode: not binding)
    damage = DAMAGE["nifti"]["no permission"]
    if not binding:
        with pytest.raises(NotPossible, match="Permissions do not bind whom this runs as: run it as somebody else"):
            damage(tmp_path / "copy", np.random.default_rng(0))
    else:
        damage(tmp_path / "copy", np.random.default_rng(0))
        assert [path.stat().st_mode & 0o777 for path in (tmp_path / "copy").iterdir()] == [0]
