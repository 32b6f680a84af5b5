"""What a resumed run keeps, what it does again, and when it refuses to go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from crossd.case_run import CaseRun
from crossd.data import find_cases
from crossd.errors import CrossDError
from crossd.inference import (
    CaseDataset,
    CaseLoader,
    Classification,
    RunJournal,
    WindowInferer,
    run_cases,
)
from crossd.inference.case_dataset import case_key
from crossd.processes import join_processes
from crossd.report import ReportPage
from crossd.report.run_pages import pieces
from crossd.version import __version__
from monai.data import MetaTensor
from torch import Tensor, nn

from . import configs
from .configs import csv_rows
from .evaluators import evaluator

ROOT = Path(__file__).resolve().parents[1]
CARD: dict[str, Any] = {"task": "multiclass", "class_names": ["no", "yes"], "negative_class": 0, "data": ""}
CARD["input"] = configs.card_input(8)


class Mean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1, keepdim=True)
        return torch.cat([0 * mean, mean], 1) * self.scale


READ: list[str] = []


def read(item: dict[str, Any]) -> dict[str, Any]:
    (path,) = item["image"]
    READ.append(Path(path).name)
    image = nib.load(path)
    made = MetaTensor(torch.as_tensor(image.get_fdata(), dtype=torch.float32)[None], affine=torch.eye(4))
    made.meta.update(spatial_shape=(8, 8, 8), original_affine=torch.eye(4))
    return {"image": made}


def write(path: Path, value: float) -> None:
    nib.save(nib.Nifti1Image(np.full((8, 8, 8), value, np.float32), np.eye(4)), path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Four cases, of which c is cut."""
    (tmp_path / "in").mkdir()
    for number, name in enumerate("abcd"):
        write(tmp_path / "in" / f"{name}.nii", number / 4)
    (tmp_path / "in" / "c.nii").write_bytes(b"cut")
    return tmp_path / "in"


def run(images: Path, output: Path, stop: int | None = None, names: bool = True, **options: Any) -> list[str]:
    """Classify; `stop` ends the run after so many cases, as a kill would. Returns the files that were read."""
    READ.clear()
    journal = RunJournal(output, {"images": str(images), "overlap": 0.5, **options.pop("settings", {})}, **options)
    dataset = CaseDataset(find_cases(images), read)
    case_run = CaseRun(output, Classification(CARD), journal, page=ReportPage(output, CARD, names=names, slices=1))
    engine = evaluator(CaseLoader(dataset, journal=journal), Mean(), case_run, inferer=WindowInferer(8))

    class Stopped(Exception):
        pass

    def interrupt(engine: Any) -> None:
        if engine.state.iteration > (stop or 99):
            raise Stopped

    from ignite.engine import Events

    engine.add_event_handler(Events.ITERATION_STARTED, interrupt)
    try:
        run_cases(engine)
    except Stopped:
        journal.close()
    return list(READ)


def rows(output: Path) -> dict[str, str]:
    return {row["case"]: row["status"] for row in csv_rows(output / "predictions.csv")}


def files(output: Path) -> tuple[bytes, bytes, list[bytes]]:
    page = sorted(pieces([output / "report.html"]).values(), key=lambda piece: piece.number)
    tables = ((output / f"predictions.{kind}").read_bytes() for kind in ("csv", "json"))
    return (*tables, [piece.html(piece.number, True) for piece in page])  # type: ignore[return-value]


DONE = {"a": "ok", "b": "ok", "c": "failed", "d": "ok"}


def test_what_is_done_is_not_done_again(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "whole")
    out = tmp_path / "out"
    assert run(images, out, stop=2)[:2] == ["a.nii", "b.nii"]
    assert run(images, out, resume=True) == ["c.nii", "d.nii"]
    assert run(images, out, resume=True) == []  # a case that failed is done, too
    assert rows(out) == DONE
    assert files(out) == files(tmp_path / "whole")
    assert run(images, out, resume=True, retry_failed=True) == ["c.nii"]
    assert files(out) == files(tmp_path / "whole")
    write(images / "c.nii", 0.5)
    assert run(images, out, resume=True) == ["c.nii"]  # it has changed
    assert list(rows(out).items()) == list({**DONE, "c": "ok"}.items())


def test_without_resume_everything_is_done_again_and_it_says_what_that_costs(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(images, tmp_path, stop=3)
    caplog.clear()
    assert len(run(images, tmp_path)) == 4
    assert "did not come to its end: its 3 answers are replaced now; --resume true would have kept them" in caplog.text
    caplog.clear()
    assert len(run(images, tmp_path)) == 4
    assert "did not come to its end" not in caplog.text
    assert len((tmp_path / "journal" / "process_0.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize("tail", [b'{"name": "b", "key": "0', b'{"name": "b"}\n', b"\0" * 40, b"\0" * 40 + b"\n"])
def test_a_torn_line_does_not_count_and_is_cut_off(images: Path, tmp_path: Path, tail: bytes) -> None:
    run(images, tmp_path / "whole")
    out = tmp_path / "out"
    run(images, out, stop=1)
    part = out / "journal" / "process_0.jsonl"
    with part.open("ab") as file:
        file.write(tail)
    assert run(images, out, resume=True) == ["b.nii", "c.nii", "d.nii"]
    assert [json.loads(line)["name"] for line in part.read_text().splitlines()] == ["a", "b", "c", "d"]
    assert files(out) == files(tmp_path / "whole")


def test_changed_files_lost_maps_and_new_cases_are_done(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(images, out)
    write(images / "b.nii", 0.9)
    (out / "evidence" / "d.nii.gz").unlink()
    write(images / "aa.nii", 0.1)
    (images / "c.nii").unlink()
    assert run(images, out, resume=True) == ["aa.nii", "b.nii", "d.nii"]
    assert list(rows(out)) == ["a", "aa", "b", "d"]  # in the order of the cases; c is gone
    run(images, tmp_path / "whole")
    assert files(out) == files(tmp_path / "whole")  # with the numbers that they have now


def test_cases_without_names_are_numbered_anew(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path, names=False)
    write(images / "0.nii", 0.1)
    run(images, tmp_path, resume=True, names=False)
    text = (tmp_path / "report.html").read_text()
    assert [text.count(f">case {number}</button>") for number in range(1, 7)] == [1, 1, 1, 1, 1, 0]
    assert text.count('id="case-5"') == 1
    assert ' slices of case 5"' in text


def test_names_are_gone_where_they_are_no_longer_wanted(images: Path, tmp_path: Path) -> None:
    os.rename(images / "b.nii", images / "DOE_JANE.nii")
    run(images, tmp_path)
    assert "DOE_JANE" in (tmp_path / "report.html").read_text()
    assert run(images, tmp_path, resume=True, names=False) == []
    text = (tmp_path / "report.html").read_text()
    assert "DOE_JANE" not in text
    assert [text.count(f">case {number}</button>") for number in range(1, 5)] == [1, 1, 1, 1]
    assert run(images, tmp_path, resume=True, names=True) == []
    assert ">DOE_JANE</button>" in (tmp_path / "report.html").read_text()


def test_a_run_that_changes_its_processes_finds_every_answer(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path, stop=3)
    part = tmp_path / "journal" / "process_0.jsonl"
    lines = part.read_text().splitlines(keepends=True)
    part.write_text(lines[0])
    part.with_name("process_7.jsonl").write_text("".join(lines[1:]))
    assert run(images, tmp_path, resume=True) == ["d.nii"]
    assert rows(tmp_path) == DONE


def test_other_settings_and_another_input_are_refused(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(images, out, stop=2)
    before = (out / "predictions.csv").read_bytes()
    with pytest.raises(CrossDError, match=r"got other ones for .*out: overlap was 0.5 and is 0.25\. Give the same"):
        run(images, out, resume=True, settings={"overlap": 0.25})
    with pytest.raises(CrossDError, match=r"images was .*in' and is .*elsewhere'\. .* choose another --output_dir, or"):
        run(images, out, resume=True, settings={"images": "/elsewhere"})
    (tmp_path / "model.pt").write_bytes(b"other weights")
    with pytest.raises(CrossDError, match=r"weights was None and is '[0-9a-f]{32}'"):
        run(images, out, resume=True, weights=tmp_path / "model.pt")
    assert (out / "predictions.csv").read_bytes() == before  # nothing was touched
    assert len(run(images, out, settings={"overlap": 0.25})) == 4  # a fresh start


def test_torch_elastic_goes_on_and_drops_what_is_of_another_run(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(images, tmp_path, stop=2)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert run(images, tmp_path) == ["c.nii", "d.nii"]
    assert len(run(images, tmp_path, settings={"overlap": 0.25})) == 4  # killed before it could drop them


def test_one_run_at_a_time(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path)
    hold = (
        "import fcntl, sys; file = open(sys.argv[1], 'a'); fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB); "
        "print('held', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", hold, str(tmp_path / "journal" / "lock")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(CrossDError, match=r"One run at a time writes into an output_dir, got .*: wait for it, or"):
            run(images, tmp_path)
        other.communicate("")
    assert rows(tmp_path) == DONE
    run(images, tmp_path)


def as_version_0_1_0_left_it(folder: Path, output: Path) -> None:
    """An output folder of old, from what `run` has put into another: run.json and the lines, key by key."""
    (output / "journal").mkdir(parents=True)
    (output / "evidence").mkdir()
    settings = {"images": str(folder), "overlap": 0.5, "crossd_version": __version__}
    (output / "journal" / "run.json").write_text(json.dumps({"settings": settings, "starts": 1, "finished": False}))
    with (output / "journal" / "process_0.jsonl").open("w") as file:
        for name, predicted in (("a", "no"), ("b", "yes")):
            path = folder / f"{name}.nii"
            key = case_key({"case": name, "source": str(path), "error": None, "image": [str(path)]})
            chances = {"no": 0.5, "yes": 0.5}
            entry = {"case": name, "source": str(path), "probabilities": chances, "predicted_class": predicted}
            entry |= {"status": "ok", "reason": None, "warnings": [], "windows": 1}
            entry |= {"evidence": f"evidence/{name}.nii.gz", "evidence_class": "yes", "saliency": None}
            (output / "evidence" / f"{name}.nii.gz").touch()
            file.write(json.dumps({"name": name, "key": key, "start": 1, "entry": entry}) + "\n")


def test_a_folder_of_old_is_taken_over(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    as_version_0_1_0_left_it(images, out)
    assert run(images, out, resume=True) == ["c.nii", "d.nii"]
    assert rows(out) == DONE
    entries = {entry["case"]: entry for entry in json.loads((out / "predictions.json").read_text())["cases"]}
    assert entries["b"]["predicted_class"] == "yes"  # as it was stored, not as it would be now
    assert "No pictures: it was answered before this run was resumed" in (out / "report.html").read_text()


def test_a_folder_of_another_version_is_refused_in_words(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    as_version_0_1_0_left_it(images, out)
    record = out / "journal" / "run.json"
    record.write_text(record.read_text().replace(f'"{__version__}"', '"0.0.9"'))
    with pytest.raises(CrossDError, match=r"crossd_version was '0\.0\.9' and is .* or pass --resume false to start"):
        run(images, out, resume=True)


def test_torchrun_without_the_overlay_and_the_overlay_without_torchrun(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CrossDError, match=r"started by torchrun, got no RANK.*'configs/multi_gpu_inference.json'\]"):
        join_processes("inference")
    monkeypatch.setenv("WORLD_SIZE", "2")
    made = configs.workflow("inference", images=images, output_dir=tmp_path / "out")
    configs.refused(made.run, "got 2 processes of torchrun and inference.json for 1. Run torchrun --nproc")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("no", [False, "false"])  # the command line gives a text
def test_switches_are_off_when_they_say_false(images: Path, tmp_path: Path, no: object) -> None:
    switches = {name: no for name in ("resume", "retry_failed", "dicom_sr", "report", "report_names", "amp")}
    workflow = configs.workflow("inference", images=images, output_dir=tmp_path, **switches)
    case_run = workflow.parser.get_parsed_content("case_run")
    assert (case_run.journal.resume, case_run.journal.retry_failed) == (False, False)
    assert (case_run.page, case_run.structured_reports) == (None, None)
    assert workflow.evaluator.amp is False


def test_a_name_that_is_no_text(images: Path, tmp_path: Path) -> None:
    os.rename(images / "b.nii", os.path.join(os.fsencode(images), b"\xff.nii"))
    run(images, tmp_path, stop=3)
    assert len(run(images, tmp_path, resume=True)) == 1
    assert len(rows(tmp_path)) == 4
