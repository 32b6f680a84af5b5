"""ChestX-ray14 is read by its official lists: labels, patients, splits, and what is wrong with a release."""

from __future__ import annotations

import csv
import logging

import numpy as np
import pytest
from crossd.data.images import open_source, read_corpus
from crossd.data.images.chest_xray14 import FINDINGS, ChestXray14Source
from crossd.data.images.corpus import read_held_out
from crossd.errors import CrossDError


@pytest.fixture
def release(make_chest_xray14, tmp_path):
    return make_chest_xray14(tmp_path / "nih")


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_findings_patients_and_lists(release):
    corpus = read_corpus(release, val_fraction=0.25)
    assert (corpus["task"], corpus["class_names"]) == ("multilabel", list(FINDINGS))
    with (release / "Data_Entry_2017_v2020.csv").open(newline="") as file:
        table = {row["Image Index"]: row for row in csv.DictReader(file)}
    official = set((release / "train_val_list.txt").read_text().split())
    seen = {}
    for split in ("train", "val"):
        for item in corpus[split]:
            name = item["image"][1]
            found = {FINDINGS[k] for k in np.flatnonzero(item["label"])}
            assert found == set(table[name]["Finding Labels"].split("|")) - {"No Finding"}
            assert (item["label"].dtype, item["label"].shape) == (np.float32, (14,))
            seen.setdefault(table[name]["Patient ID"], set()).add(split)
    assert {item["image"][1] for split in ("train", "val") for item in corpus[split]} == official
    assert all(len(splits) == 1 for splits in seen.values()), "a patient is in one split only"
    assert 2 <= sum(splits == {"val"} for splits in seen.values()) <= 4
    labels = {row[1]: row[2] for row in corpus["rows"]}
    assert labels["00000001_001.png"] == "Effusion;Mass"
    assert labels["00000004_000.png"] == "none"
    image = corpus["store"].read(*corpus["train"][0]["image"])
    assert (image.shape, image.dtype) == ((1, 24, 24), np.uint8)


def test_the_test_list_is_read_once_training_is_over(release):
    corpus = read_corpus(str(release / "Data_Entry_2017_v2020.csv"))
    held = read_held_out(corpus)
    assert {item["image"][1] for item in held["items"]} == set((release / "test_list.txt").read_text().split())
    assert held["counts"] == {"test": 8, "unreadable": 0, "in_training": 0}
    assert held["items"][0]["patient"] == "13"
    assert held["store"].read(*held["items"][0]["image"]).shape == (1, 24, 24)


def test_images_below_another_folder(release, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for path in release.glob("images_*"):
        path.rename(tmp_path / "elsewhere" / path.name)
    with pytest.raises(CrossDError, match=r"lie below its table's folder, got none of 24 in .*nih\. Unpack"):
        open_source(release)
    assert len(open_source(release, str(tmp_path / "elsewhere")).records) == 24


def test_images_that_are_missing_or_truncated_are_listed(release):
    (release / "images_002/images/00000001_000.png").unlink()
    broken = release / "images_003/images/00000002_001.png"
    broken.write_bytes(broken.read_bytes()[:200])
    (release / "images_002/images/00000013_000.png").unlink()  # of the test list
    corpus = read_corpus(release)
    reasons = {name: reason for _, name, reason in corpus["skipped"]}
    assert set(reasons) == {"00000001_000.png", "00000002_001.png"}
    assert "there is no such file below" in reasons["00000001_000.png"]
    assert "truncated" in reasons["00000002_001.png"]
    assert (corpus["counts"]["unreadable"], len(corpus["train"]) + len(corpus["val"])) == (2, 22)
    assert read_held_out(corpus)["counts"] == {"test": 7, "unreadable": 1, "in_training": 0}
    assert "1 images of train_val_list.txt have no file" in open_source(release).notes
    unchecked = read_corpus(release, check_images=False)
    assert [name for _, name, _ in unchecked["skipped"]] == ["00000001_000.png"]  # known without reading any


def test_an_unknown_finding(release):
    change(release / "Data_Entry_2017_v2020.csv", ",Effusion|Mass,", ",Effusion|Mess,")
    with pytest.raises(CrossDError, match=r"Findings are Atelectasis, .* got 'Effusion\|Mess' in line \d+ of"):
        open_source(release)
    change(release / "Data_Entry_2017_v2020.csv", ",Effusion|Mess,", ",No Finding|Mass,")
    with pytest.raises(CrossDError, match=r"or 'No Finding' alone; got 'No Finding\|Mass'"):
        open_source(release)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(CrossDError, match=r"table of ChestX-ray14 must be a file that exists, got .*2017\.csv"):
        open_source(tmp_path / "Data_Entry_2017.csv")


def test_a_patient_or_an_image_in_both_lists(release):
    lists = release / "train_val_list.txt", release / "test_list.txt"
    change(lists[1], "00000016_001.png", "00000016_001.png\n00000003_001.png")
    change(lists[0], "00000003_001.png\n", "")
    said = r"in one split only, got 1 in several: 3 in test_list\.txt and train_val_list\.txt\. Download the lists"
    with pytest.raises(CrossDError, match=said):
        open_source(release)
    lists[0].write_text(lists[0].read_text() + "\n00000003_001.png")
    with pytest.raises(CrossDError, match=said):
        open_source(release)


def test_a_release_that_is_not_whole(release):
    test = release / "test_list.txt"
    text = test.read_text()
    test.write_text(text + "99999999_000.png\n")
    with pytest.raises(CrossDError, match=r"a row for every image .* for 1 of them, such as 99999999_000\.png\. Take"):
        open_source(release)
    test.write_text(text + text)
    with pytest.raises(CrossDError, match=r"names each of its images once, got 16 in .*, 8 of them different"):
        open_source(release)
    test.unlink()
    with pytest.raises(CrossDError, match=r"official lists train_val_list.txt and test_list.txt, got no"):
        open_source(release)
    table = release / "Data_Entry_2017_v2020.csv"
    whole = table.read_text()
    table.write_text(whole + whole.splitlines()[1] + "\n")
    with pytest.raises(CrossDError, match=r"of an image and its patient, once; got '00000001_000.png' of patient '1'"):
        open_source(release)
    table.write_text(whole.replace("Patient ID", "Patient"))
    with pytest.raises(CrossDError, match=r"has the columns Image Index, .* lacks Patient ID\. Add"):
        open_source(release)
    table.unlink()
    with pytest.raises(CrossDError, match=r"comes with Data_Entry_2017.csv or .*_v2020.csv, got neither in"):
        ChestXray14Source(release)


def test_findings_that_no_training_image_has_are_said(release, caplog):
    with caplog.at_level(logging.WARNING):
        read_corpus(release)
    assert "no training image with Atelectasis, Cardiomegaly" in caplog.text


def test_tasks_that_do_not_go_together(release, tmp_path):
    from PIL import Image

    for name in ("ct/1.png", "ct/2.png", "mr/1.png", "mr/2.png"):
        (tmp_path / "folders" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), len(name)).save(tmp_path / "folders" / name)
    with pytest.raises(CrossDError, match=r"one label, or all any number of labels; got both: .*folders is"):
        read_corpus([str(release), str(tmp_path / "folders")])
    with pytest.raises(CrossDError, match=r"got task 'multilabel' for .*folders, which is multiclass\. Leave --task"):
        read_corpus(str(tmp_path / "folders"), task="multilabel")
    with pytest.raises(CrossDError, match=r"`task` must be one of 'multiclass', 'multilabel'; got 'many'"):
        read_corpus(str(release), task="many")
    assert read_corpus(str(release), task="multilabel")["task"] == "multilabel"
