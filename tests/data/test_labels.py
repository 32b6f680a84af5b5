"""What a labels.csv may say, and what is told to someone whose file says something else."""

from __future__ import annotations

import os

import pytest
from crossd.data.case_table import read_label_table
from crossd.data.labels import read_labels
from crossd.errors import CrossDError


@pytest.fixture
def folder(tmp_path):
    for name in "abcdefgh":
        (tmp_path / f"{name}.nii.gz").write_bytes(b"")
        (tmp_path / f"{name}_2.nii.gz").write_bytes(b"")
    return tmp_path


@pytest.fixture
def write(folder):
    def write(text, name="labels.csv"):
        path = folder / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


ROWS = [(name, "sick" if name in "aceg" else "well") for name in "abcdefgh"]
GOOD = "image,label\n" + "".join(f"{name}.nii.gz,{label}\n" for name, label in ROWS)


def all_cases(found):
    return found["train"] + found["val"] + found["test"]


def test_cases_of_a_plain_file(write, folder):
    found = read_labels(folder, write(GOOD))
    assert found["class_names"] == ["sick", "well"]
    assert found["channels"] == 1
    cases = sorted(all_cases(found), key=lambda case: case["case"])
    assert cases[0] == {
        "case": "a",
        "source": str(folder / "a.nii.gz"),
        "image": [str(folder / "a.nii.gz")],
        "label": 0,
        "patient": "a",
        "columns": {},
        "split": cases[0]["split"],
    }
    assert [case["label"] for case in cases] == [0, 1] * 4
    assert min(len(found[split]) for split in ("train", "val", "test")) > 0


def test_further_columns_come_along(write, folder):
    lines = [f"{line},{'age' if row == 0 else row}" for row, line in enumerate(GOOD.splitlines())]
    cases = sorted(all_cases(read_labels(folder, write("\n".join(lines)))), key=lambda case: case["case"])
    assert [case["columns"] for case in cases] == [{"age": str(row)} for row in range(1, 9)]


def test_paths_start_from_the_file_when_no_folder_is_given_and_may_be_absolute(write, folder, monkeypatch):
    monkeypatch.chdir("/")
    text = GOOD.replace("a.nii.gz", str(folder / "a.nii.gz"))
    assert len(all_cases(read_labels(None, write(text)))) == 8


def test_byte_order_mark_blank_lines_and_spaces(folder):
    (folder / "labels.csv").write_bytes(b"\xef\xbb\xbf" + GOOD.replace(",", " , ").replace("\nb", "\n\nb").encode())
    assert len(all_cases(read_labels(folder, folder / "labels.csv"))) == 8


def test_channels_are_columns_and_folders_are_series(write, folder):
    (folder / "series").mkdir()
    text = "image_2,image_1,label\n" + "".join(f"{n}_2.nii.gz,{n}.nii.gz,{label}\n" for n, label in ROWS)
    found = read_labels(folder, write(text.replace("a_2.nii.gz", "series")))
    first = next(case for case in all_cases(found) if case["case"] == "a")
    assert found["channels"] == 2
    assert first["image"] == [str(folder / "a.nii.gz"), str(folder / "series")]


def test_numbers_are_ordered_by_value(write, folder):
    labels = [10, 9, 2] * 2 + [10, 9]
    text = "image,label,split\n" + "".join(
        f"{n}.nii.gz,{label},{'val' if i > 5 else 'train'}\n"
        for i, (n, label) in enumerate(zip("abcdefgh", labels, strict=True))
    )
    assert read_labels(folder, write(text))["class_names"] == ["2", "9", "10"]


def test_given_splits_are_kept(write, folder):
    splits = ["train", "train", "train", "Train", "val", "val", "test", "test"]
    text = "image,label,split\n" + "".join(f"{n}.nii.gz,{c},{s}\n" for (n, c), s in zip(ROWS, splits, strict=True))
    found = read_labels(folder, write(text))
    assert [[case["case"] for case in found[s]] for s in ("train", "val", "test")] == [
        list("abcd"),
        list("ef"),
        list("gh"),
    ]


def test_validation_comes_out_of_training_when_none_is_given(write, folder):
    splits = ["train"] * 6 + ["test"] * 2
    text = "image,label,split\n" + "".join(f"{n}.nii.gz,{c},{s}\n" for (n, c), s in zip(ROWS, splits, strict=True))
    found = read_labels(folder, write(text))
    assert [case["case"] for case in found["test"]] == ["g", "h"]
    assert len(found["val"]) >= 1
    assert {case["split"] for case in found["val"]} == {"val"}


def test_multilabel_by_separator_and_by_columns_agree(write, folder):
    labels = ["x;y", "none", "y", " x ; y ", "x", "NONE", "y", "x"]
    joined = "image,label\n" + "".join(f"{n}.nii.gz,{label}\n" for n, label in zip("abcdefgh", labels, strict=True))
    columns = "image,x,y\n" + "".join(
        f"{n}.nii.gz,{int('x' in label)},{int('y' in label)}\n" for n, label in zip("abcdefgh", labels, strict=True)
    )
    one, two = (read_labels(folder, write(text), task="multilabel") for text in (joined, columns))
    assert one == two
    assert one["class_names"] == ["x", "y"]
    by_name = {case["case"]: case["label"] for case in all_cases(one)}
    assert [by_name[n] for n in "abcd"] == [[1, 1], [0, 0], [0, 1], [1, 1]]


def test_without_labels_there_are_no_cases():
    found = read_labels(None, None)
    assert (found["class_names"], all_cases(found)) == (None, [])


def test_a_recorded_split_is_taken_and_unknown_cases_are_test(write, folder):
    first = read_labels(folder, write(GOOD), seed=3)
    rows = [f"{case['image'][0]},{case['split']},x" for case in all_cases(first) if case["case"] != "h"]
    recorded = write("image,split,label\n" + "\n".join(rows) + "\n", "datalist.csv")
    again = read_labels(folder, folder / "labels.csv", seed=99, classes=["sick", "well"], recorded_splits=recorded)
    split_of = {case["case"]: case["split"] for case in all_cases(again)}
    assert split_of.pop("h") == "test"
    assert split_of == {case["case"]: case["split"] for case in all_cases(first) if case["case"] != "h"}
    elsewhere = read_labels(
        folder, folder / "labels.csv", classes=["sick", "well"], recorded_splits=folder / "none.csv"
    )
    assert len(elsewhere["test"]) == 8


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        (
            GOOD.replace("c.nii.gz", "x.nii.gz").replace("e.nii.gz", "y.nii.gz"),
            "multiclass",
            r"Every image must exist, got in .*: line 4: .*x\.nii\.gz; line 6: .*y\.nii\.gz\. Paths start from",
        ),
        (GOOD.replace("well", "sick"), "multiclass", r"at least two classes, got only 'sick'.*Add cases"),
        (GOOD.replace("b.nii.gz,well", "b.nii.gz,"), "multiclass", r"Every case needs a label.*: line 3: nothing\."),
        (GOOD.replace("b.nii.gz,well", "b.nii.gz, ; "), "multilabel", r"needs a label.*line 3.*Write 'none'"),
        (GOOD.replace("b.nii.gz", "a.nii.gz"), "multiclass", r"listed once.*line 3: .*a\.nii\.gz, also on line 2\."),
        (GOOD.replace("b.nii.gz", ""), "multiclass", r"Every case needs an image, got in .*: line 3: no image\. Fill"),
        (GOOD.replace("\n", ",3\n").replace("label,3", "label,Split"), "multiclass", r"must be it, got 'Split' in"),
        (GOOD.replace("image", "file", 1), "multiclass", r"needs a column 'image', or .* has 'file', 'label'\. Rename"),
        (GOOD.replace("label", "class", 1), "multiclass", r"need a column 'label', got \['image',"),
        (GOOD.replace("label", "well", 1), "multilabel", r"must hold 0 or 1, got in .*: line 2: well='sick'"),
        ("image,label\n", "multiclass", r"a row for each case, got none"),
        (
            "image,label\n" + "".join(f"{i}.nii,{i}.5\n" for i in range(30)),
            "multiclass",
            r"told apart, got 30 different numbers as labels of 30 cases .* pass --task regression\. For classes make",
        ),
        (GOOD.replace("a.nii.gz,sick", "a.nii.gz,sick,extra"), "multiclass", r"2 columns.*: line 2: 3 values\. Quote"),
        (
            GOOD,
            "ranking",
            r"task must be 'multiclass' or 'multilabel' or 'regression' or 'ordinal', got 'ranking'\. Example",
        ),
    ],
)
def test_bad_files(write, folder, text, task, message):
    with pytest.raises(CrossDError, match=message):
        read_labels(folder, write(text), task=task)


def test_unknown_split_values(write, folder):
    text = "image,label,split\n" + "".join(f"{n}.nii.gz,{c},{'valid' if n in 'bd' else 'train'}\n" for n, c in ROWS)
    with pytest.raises(CrossDError, match=r"one of train, val, test, got in .*: line 3: 'valid'; line 5: 'valid'\."):
        read_labels(folder, write(text))


def test_a_patient_in_two_splits(write, folder):
    text = "image,label,patient,split\n" + "".join(
        f"{n}.nii.gz,{c},p{i // 3},{'train' if i < 4 else 'val'}\n" for i, (n, c) in enumerate(ROWS)
    )
    with pytest.raises(CrossDError, match=r"A patient must be in one split only, got 1 in several: p1 in train and"):
        read_labels(folder, write(text))


def test_a_new_scan_of_a_recorded_training_patient_is_not_a_test_case(write, folder):
    recorded = write(f"image,label,split\n{folder}/a.nii.gz,sick,train\n", "datalist.csv")
    text = "image,label,patient\na.nii.gz,sick,p\nb.nii.gz,well,p\n"
    with pytest.raises(CrossDError, match="A patient must be in one split only"):
        read_labels(folder, write(text), classes=["sick", "well"], recorded_splits=recorded)


def test_a_patient_that_is_not_named(write, folder):
    text = "image,label,patient\n" + "".join(f"{n}.nii.gz,{c},{'' if n == 'c' else n}\n" for n, c in ROWS)
    with pytest.raises(CrossDError, match=r"Every case needs a patient, got in .*: line 4: nothing\. Fill"):
        read_labels(folder, write(text))


def test_doubled_case_names(write, folder):
    text = "case,image,label\n" + "".join(f"{'same' if n in 'ad' else n},{n}.nii.gz,{c}\n" for n, c in ROWS)
    with pytest.raises(CrossDError, match=r"a name of its own, got in .*: line 2: same; line 5: same\. Rename"):
        read_labels(folder, write(text))


def test_labels_outside_the_given_classes(write, folder):
    with pytest.raises(CrossDError, match=r"Every label must be one of \['well', 'ill'\], got in .*: line 2: 'sick';"):
        read_labels(folder, write(GOOD), classes=["well", "ill"])


def test_a_class_without_training_case(write, folder):
    text = "image,label,split\n" + "".join(f"{n}.nii.gz,{c},{'test' if c == 'sick' else 'train'}\n" for n, c in ROWS)
    with pytest.raises(CrossDError, match=r"Every class needs a training case, got none of 'sick' \(4 cases\)"):
        read_labels(folder, write(text))


def test_a_file_that_is_not_there_or_no_text(folder):
    with pytest.raises(CrossDError, match=r"labels must be a CSV file, got .*nowhere.csv, which is not there\. Pass"):
        read_labels(folder, folder / "nowhere.csv")
    (folder / "labels.csv").write_bytes(b"image,label\n\xff\xfe\x00,1\n")
    with pytest.raises(CrossDError, match=r"labels must be a readable CSV in UTF-8: .* Save it as CSV"):
        read_labels(folder, folder / "labels.csv")


def test_names_that_differ_only_in_their_ending_stay_apart(write, folder):
    (folder / "a.nii").write_bytes(b"")
    found = read_labels(folder, write(GOOD.replace("b.nii.gz", "a.nii")))
    assert {"a", "a_2"} <= {case["case"] for case in all_cases(found)}


def test_other_separators(write, folder):
    plain = read_labels(folder, write(GOOD))
    assert read_labels(folder, write(GOOD.replace(",", ";"))) == plain
    assert read_labels(folder, write(GOOD.replace(",", "\t"))) == plain


@pytest.mark.parametrize("text", ["nan", "NaN", "NA", "n/a", "#N/A", "<NA>", "NULL", "", " "])
def test_a_label_that_says_there_is_none(write, folder, text):
    with pytest.raises(CrossDError, match=r"needs a label, got in .*: line 3: .*; line 5: .*by --classes\.$"):
        read_labels(
            folder,
            write(GOOD.replace("b.nii.gz,well", f"b.nii.gz,{text}").replace("d.nii.gz,well", f"d.nii.gz,{text}")),
        )
    with pytest.raises(CrossDError, match=r"Every case needs a label, got in .*: line 3: "):
        read_labels(folder, write(GOOD.replace("well", f"well;{text}" if text.strip() else "")), task="multilabel")


def test_a_class_may_be_called_so_where_it_is_named(write, folder):
    found = read_labels(folder, write(GOOD.replace("sick", "NA")), classes=["NA", "well"])
    assert found["class_names"] == ["NA", "well"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Yes", "yes"),
        ("0", "0.0"),
        ("1", "01"),
        ("left lung", "left  Lung"),
        ("left lung", "leftlung"),
        ("caf\u00e9", "cafe\u0301"),
        ("ill", "ill\u200b"),
        ("a b", "a\u00a0b"),
    ],
)
def test_one_class_in_two_spellings(write, folder, one, other):
    rows = [*((name, one) for name in "abcd"), ("e", other), *((name, "well") for name in "fgh")]
    text = "image,label\n" + "".join(f"{name}.nii.gz,{label}\n" for name, label in rows)
    with pytest.raises(CrossDError) as caught:
        read_labels(folder, write(text))
    assert f"{one!r} in lines 2, 3, 4, 5 and {other!r} in line 6. Write the same in all" in str(caught.value)
    with pytest.raises(CrossDError, match="A class must be spelled in one way, got"):
        read_labels(folder, write(GOOD), classes=["sick", "well", one, other])


def test_names_that_are_no_spellings_of_one(write, folder):
    labels = dict(zip("abcdefgh", ["T1", "T-1", "1", "-1", "T1+", "T1-", "1a", "1b"], strict=True))
    text = "image,label,split\n" + "".join(
        f"{name}{end}.nii.gz,{label},{split}\n"
        for name, label in labels.items()
        for end, split in (("", "train"), ("_2", "val"))
    )
    assert set(read_labels(folder, write(text))["class_names"]) == set(labels.values())


def test_a_patient_in_two_spellings(write, folder):
    """pandas makes `12.0` of `12` where a row has none: the scans of one patient would be in train and test."""
    text = GOOD.replace("label\n", "label,patient\n").replace("sick\n", "sick,12\n").replace("well\n", "well,12.0\n")
    with pytest.raises(CrossDError, match=r"spelled in one way, got .*'12' in lines 2.* and '12\.0' in"):
        read_labels(folder, write(text))
    with pytest.raises(CrossDError, match=r"Every case needs a patient, got in .*: line 3: 'nan'"):
        read_labels(folder, write(text.replace("12.0", "nan")))
    ids = "image,label,patient\n" + "".join(f"{n}.nii.gz,{c},{'Ab' if c == 'sick' else 'aB'}{n}\n" for n, c in ROWS)
    two = ids.replace("aBb", "aba")  # identifiers may differ by case alone
    assert len({case["patient"] for case in all_cases(read_labels(folder, write(two)))}) == 8


def test_further_columns_are_kept_but_not_those_that_are_nearly_ours(write, folder):
    text = GOOD.replace("\n", ",63\n").replace("label,63", "label,patient_age")
    assert len(all_cases(read_labels(folder, write(text)))) == 8
    columns = "image,sick,age,well\n" + "".join(
        f"{n}.nii.gz,{int(c == 'sick')},63,{int(c == 'well')}\n" for n, c in ROWS
    )
    found = read_labels(folder, write(columns), task="multilabel", classes=["well", "sick"])
    assert found["class_names"] == ["well", "sick"]
    assert {tuple(case["label"]) for case in all_cases(found)} == {(0, 1), (1, 0)}
    with pytest.raises(CrossDError, match=r"Every class needs its 0/1 column, got none of \['dead'\] in"):
        read_labels(folder, write(columns), task="multilabel", classes=["well", "dead"])
    for name, meant in (("Patients", "patient"), ("patient_id", "patient"), ("SPLIT", "split"), ("cases", "case")):
        with pytest.raises(
            CrossDError, match=f"looks like one that is read must be it, got '{name}' in .*, and no '{meant}'"
        ):
            read_labels(folder, write(GOOD.replace("\n", ",63\n").replace("label,63", f"label,{name}")))


def test_a_class_without_test_cases(write, folder, caplog):
    splits = {"a": "test", "b": "test", "c": "val"}
    text = "image,label,split\n" + "".join(
        f"{n}.nii.gz,{'rare' if n == 'h' else c},{splits.get(n, 'train')}\n" for n, c in ROWS
    )
    with pytest.raises(CrossDError, match=r"a test case, got none of 'rare' \(1 case\).*--allow_untested"):
        read_labels(folder, write(text))
    with caplog.at_level("INFO"):
        read_labels(folder, write(text), allow_untested=True)
    assert (
        "fewer than 10 train cases of 'rare' (1), 'sick' (2), 'well' (2): little can be learnt of them" in caplog.text
    )
    assert (
        "fewer than 10 test cases of 'rare' (0), 'sick' (1), 'well' (1): their figures will say little" in caplog.text
    )
    assert "sick       2      1      1  ##############################" in caplog.text
    read_labels(folder, write(text.replace(",test", ",val")))  # whoever has no test at all knows it
    assert "no case is for test" in caplog.text


@pytest.mark.skipif(os.sep != "/", reason="Windows reads its paths")
def test_paths_of_windows(write, folder):
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "a.nii.gz").write_bytes(b"")
    (folder / r"odd\name.nii.gz").write_bytes(b"")
    text = GOOD.replace("a.nii.gz", r"deep\er\a.nii.gz").replace("b.nii.gz", r"odd\name.nii.gz")
    found = {case["source"] for case in all_cases(read_labels(None, write(text)))}
    assert {str(folder / "deep" / "er" / "a.nii.gz"), str(folder / r"odd\name.nii.gz")} <= found
    for path in (r"C:\data\a.nii.gz", "d:/data/a.nii.gz", r"\\server\a.nii.gz"):
        with pytest.raises(CrossDError) as caught:
            read_labels(None, write(GOOD.replace("a.nii.gz", path)))
        assert f"line 2: {path} (on a drive of Windows, which this machine has not" in str(caught.value)


def test_the_columns_of_a_clinic_are_named(tmp_path):
    """Its own names, further columns, and a column of our name that is meant otherwise."""
    rows = [f"m{i // 2};{i}.nii;{'ill' if i % 2 else 'well'};7\n" for i in range(8)]
    for case in range(8):
        (tmp_path / f"{case}.nii").touch()
    (tmp_path / "t.csv").write_text("".join(["MRN;Scan;Diagnosis;label\n", *rows]))
    named = {"image": "Scan", "label": "Diagnosis", "patient": "MRN"}
    found = read_labels(None, tmp_path / "t.csv", split_fractions=None, columns=named)
    assert found["class_names"] == ["ill", "well"]
    assert [case["patient"] for case in found["train"]] == [f"m{i // 2}" for i in range(8)]
    two = {"image": ["Scan", "MRN"], "label": "Diagnosis"}
    table = read_label_table(tmp_path / "t.csv", "multiclass", columns=two)
    assert table.image_columns == ("image_1", "image_2")
    assert table.columns == ("image_2", "image_1", "label")
    with pytest.raises(CrossDError, match=r"must be in the table, got --label 'Group', and in .*t.csv 'MRN', 'Scan'"):
        read_labels(None, tmp_path / "t.csv", columns={"label": "Group"})
