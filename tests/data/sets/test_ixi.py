"""IXI: contrasts matched by subject, a sex only where the table has one. `ixi_made.xls` has the published columns."""

from __future__ import annotations

import builtins
import shutil
from pathlib import Path

import pytest
from crossd.data.reading import read_volume
from crossd.data.sets import prepare_datalist
from crossd.data.sets.ixi import read_sexes
from crossd.errors import CrossDError

XLS = Path(__file__).with_name("ixi_made.xls")


@pytest.mark.parametrize("name", ["ixi", "ixi-archives"])
def test_subjects(name, release, tmp_path, rows, caplog):
    root = release(name)
    listed = rows(prepare_datalist("ixi", root, tmp_path / "out"))
    assert [row["patient"] for row in listed] == [f"IXI{number:03d}" for number in range(2, 16)]
    for row in listed:
        number = int(row["patient"][3:])
        assert row["label"] == ("male", "female")[number % 2]  # SEX_ID is 1 + number % 2
        assert all(Path(row[f"image_{i}"]).name.startswith(row["patient"]) for i in (1, 2)) or name == "ixi-archives"
        folder = root if name == "ixi" else tmp_path / "out"
        assert (folder / row["image_1"]).is_file()
    assert "1 subjects have not T1 and T2 and are left out: IXI018." in caplog.text
    assert "2 subjects have no sex in the table and are left out: IXI017, IXI020." in caplog.text
    assert "1 subjects have two sexes in the table and are left out: IXI016." in caplog.text
    assert "14 cases here, 561 in Table V" in caplog.text
    volume = read_volume([folder / listed[0]["image_1"], folder / listed[0]["image_2"]])
    assert volume.shape == (2, 10, 9, 6)  # T2 on the grid of T1


def test_excel_and_csv_say_the_same(release):
    root = release("ixi")
    sexes, unclear = read_sexes(XLS)
    assert (sexes, unclear) == read_sexes(root / "IXI.csv")
    assert unclear == [16]
    assert sexes[2] == "male"  # its second row is empty
    assert 17 not in sexes
    assert len(sexes) == 15


def test_the_excel_file_of_the_release(release, tmp_path, rows):
    root = release("ixi")
    (root / "IXI.csv").unlink()
    shutil.copy(XLS, root / "IXI.xls")
    assert len(rows(prepare_datalist("ixi", root, tmp_path / "out"))) == 14


def test_without_the_package_for_excel(monkeypatch):
    imported = builtins.__import__

    def without(name, *arguments):
        if name == "xlrd":
            raise ImportError(name)
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CrossDError, match=r"package xlrd, which is not installed, .* or save the sheet 'Table' as"):
        read_sexes(XLS)


def test_refused(release, tmp_path, made):
    with pytest.raises(CrossDError, match=r"needs IXI002-Guys-0828-T1\.nii\.gz and so on, or IXI-T1\.tar, and"):
        prepare_datalist("ixi", tmp_path / "nowhere", tmp_path / "out")
    root = release("ixi")
    (root / "IXI.csv").unlink()
    with pytest.raises(CrossDError, match=r"needs IXI\.xls, or its sheet 'Table' as IXI\.csv"):
        prepare_datalist("ixi", root, tmp_path / "out")
    (root / "IXI.xls").write_bytes(b"<html>")
    with pytest.raises(CrossDError, match=r"IXI\.xls is an Excel file, .* is not"):
        prepare_datalist("ixi", root, tmp_path / "out")
    made.table(root / "IXI.csv", ("ID", "AGE"), (2, 30))
    with pytest.raises(CrossDError, match=r"has the columns IXI_ID and SEX_ID \(1=m, 2=f\), .* has ID, AGE"):
        prepare_datalist("ixi", root, tmp_path / "out")
    made.table(root / "IXI.csv", ("IXI_ID", "SEX_ID (1=m, 2=f)"), (700, 1))
    with pytest.raises(CrossDError, match="needs subjects with T1 and T2 and a row in its table"):
        prepare_datalist("ixi", root, tmp_path / "out")


def test_an_altered_archive(release, tmp_path):
    root = release("ixi-archives")
    (root / "IXI-T1.tar").write_bytes(b"half of it")
    with pytest.raises(CrossDError, match=r"The official IXI-T1\.tar has MD5"):
        prepare_datalist("ixi", root, tmp_path / "out")


def test_empty_lines_and_words_in_the_table(tmp_path):
    table = tmp_path / "IXI.csv"
    table.write_text('IXI_ID;"SEX_ID (1=m, 2=f)";AGE\n2;1;30\n\n3\n4;inf;\nIXI5;2;\n6;2;\n')
    assert read_sexes(table) == ({2: "male", 6: "female"}, [])


def test_half_of_an_archive_is_not_taken_for_all_of_it(release, tmp_path, rows, monkeypatch):
    """The run is interrupted while the archive is unpacked, and started again."""
    root = release("ixi-archives")

    def interrupted(archive, output_dir, **options):
        Path(output_dir).mkdir(parents=True)
        (Path(output_dir) / "IXI002-IOP-0802-T1.nii.gz").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("monai.apps.utils.extractall", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare_datalist("ixi", root, tmp_path / "out")
    assert len(rows(prepare_datalist("ixi", root, tmp_path / "out"))) == 14
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["IXI-T1", "IXI-T2", "labels.csv"]
