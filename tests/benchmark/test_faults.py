"""Law: whatever is done to a file, it ends as an answer or a reason, and the good cases beside it are not touched."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from crossd.benchmark.faults import Outcome, run_campaign, update_page
from crossd.benchmark.faults.campaign import DAMAGE, DEFECTS, Campaign, _judge, _plan
from crossd.benchmark.faults.file_damage import NotPossible
from crossd.benchmark.faults.sources import Source, make_sources
from crossd.benchmark.faults.table import table
from crossd.benchmark.faults.watch import watch
from crossd.errors import CrossDError

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "inference.json"


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
    for source, kind in _plan(sources, sum(len(DAMAGE[source.kind]) for source in sources)):
        if source.name not in ("nifti", "nifti_pair", "mha", "nhdr", "dicom"):
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
            changed = changed or content(folder) != before
        assert changed, (source.name, kind)


def test_phantoms_and_scans_of_ones_own(sources, tmp_path):
    from crossd.benchmark.faults.sources import copy_sources

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
    found = _judge(Source("a", Path("a"), "nifti"), "truncated", rows, expected)
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
    update_page(page, Campaign(outcomes, 12.0, 2**30, 2**29), "2 inputs.")
    text = page.read_text()
    assert "2 inputs. The runs took 12 s; their largest resident set was 1024 MiB, 512 MiB with the good" in text
    assert "| **all** | **2** | **0** | **0** | **1** | **0** | **0** | **1** |" in text
    assert text.startswith("before\n<!-- faults:begin")
    assert text.endswith("<!-- faults:end -->\nafter\n")
    assert table(outcomes) in text
    page.write_text("nothing")
    with pytest.raises(CrossDError, match=r"needs lines with faults:begin and faults:end: '.*page.md' has none. Add"):
        update_page(page, Campaign([]), "")


@pytest.mark.parametrize("count", [60, pytest.param(600, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_a_campaign_finds_no_defect(count):
    campaign = run_campaign(CONFIG, count, seed=1, timeout=600)
    assert campaign.defects == []
    assert len(campaign.outcomes) == count
    assert Counter(outcome.result for outcome in campaign.outcomes)["refused"] > count // 4


def test_good_cases_must_be_good(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"")
    with pytest.raises(CrossDError, match="needs good cases to damage"):
        run_campaign(CONFIG, 1, cases=tmp_path)
