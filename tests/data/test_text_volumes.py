"""Laws: patient axes and units are honoured, checksums are believed, and a header reaches no file but its own."""

from __future__ import annotations

import bz2
import gzip
import itertools
import zlib

import itk
import numpy as np
import pytest
from crossd.data.declared_sizes import TAIL
from crossd.data.reading import read_volume_file
from crossd.errors import CrossDError

VOXELS = np.arange(24, dtype="<f4").reshape(2, 3, 4)  # (k, j, i)


def nrrd(path, *lines, data=None):
    head = ["NRRD0005", "type: float", "dimension: 3", "sizes: 4 3 2", "endian: little", *lines]
    fields = {line.split(":")[0]: line for line in head}  # later lines replace earlier ones
    fields.setdefault("encoding", "encoding: raw")
    path.write_bytes("\n".join([*fields.values(), "", ""]).encode() + (VOXELS.tobytes() if data is None else data))
    return path


def refused(path, volume=None):
    with pytest.raises(CrossDError) as caught:
        read_volume_file(path, volume)
    return str(caught.value)


SPACES = {"left-posterior-superior": (-1, -1), "right-anterior-superior": (1, 1), "LPS": (-1, -1), "LAS": (-1, 1)}


@pytest.mark.parametrize("space", SPACES)
def test_spaces(tmp_path, space):
    lines = (f"space: {space}", "space directions: (1.5,0,0) (0,2,0) (0,0,3)", "space origin: (5,6,7)")
    read = read_volume_file(nrrd(tmp_path / "a.nrrd", *lines))
    expected = np.diag([*SPACES[space], 1.0, 1.0]) @ [[1.5, 0, 0, 5], [0, 2, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]]
    np.testing.assert_allclose(read.voxel_to_world, expected)
    np.testing.assert_array_equal(read.voxels, VOXELS.T)
    assert (read.has_affine, read.warnings) == (True, ())


def test_a_space_that_is_not_the_patients(tmp_path):
    lines = ("space: scanner-xyz", "space directions: (1.5,0,0) (0,2,0) (0,0,3)", "space origin: (5,6,7)")
    read = read_volume_file(nrrd(tmp_path / "a.nrrd", *lines))
    assert not read.has_affine
    assert read.warnings[0].startswith("The file states no space (NRRD `space` is scanner-xyz)")


def test_a_meta_image_without_directions(tmp_path):
    head = b"ObjectType = Image\nNDims = 3\nElementSpacing = 1 2 3\nDimSize = 4 3 2\nElementType = MET_FLOAT\n"
    (tmp_path / "a.mha").write_bytes(head + b"ElementDataFile = LOCAL\n" + VOXELS.tobytes())
    read = read_volume_file(tmp_path / "a.mha")
    assert not read.has_affine
    assert "states no space (MetaImage `TransformMatrix`)" in read.warnings[0]


def test_units(tmp_path):
    lines = ("space: LPS", "space directions: (2,0,0) (0,2,0) (0,0,2)", "space origin: (5,6,7)")
    path = nrrd(tmp_path / "a.nrrd", *lines, 'space units: "um" "um" "um"')
    read = read_volume_file(path)
    expected = np.diag([-1, -1, 1, 1]) @ [[2, 0, 0, 5], [0, 2, 0, 6], [0, 0, 2, 7], [0, 0, 0, 1]]
    np.testing.assert_allclose(read.voxel_to_world[:3], expected[:3] / 1000)
    assert read.warnings == ('The file\'s unit is "um" "um" "um": read as millimetres.',)


@pytest.mark.parametrize("kinds", ["domain domain domain list", "list domain domain domain"])
def test_volumes_of_a_4d_nrrd(tmp_path, kinds):
    several = np.stack([VOXELS, VOXELS + 100])  # (volume, k, j, i)
    first = kinds.startswith("list")
    data = np.moveaxis(several, 0, -1) if first else several
    directions = ["(1,0,0)", "(0,1,0)", "(0,0,1)"]
    lines = (
        *("dimension: 4", f"sizes: {'2 4 3 2' if first else '4 3 2 2'}", "space: LPS", f"kinds: {kinds}"),
        f"space directions: {' '.join(['none', *directions] if first else [*directions, 'none'])}",
    )
    path = nrrd(tmp_path / "a.nrrd", *lines, data=np.ascontiguousarray(data).tobytes())
    for number in range(2):
        np.testing.assert_array_equal(read_volume_file(f"{path}@{number}").voxels, several[number].T)
    assert "has 2. Choose one of them, counted from 0" in refused(path)
    assert "0 to 1: volume 2 of" in refused(path, 2)


@pytest.mark.slow
def test_volumes_of_a_4d_meta_image(tmp_path):
    several = np.stack([VOXELS, VOXELS + 100, VOXELS * 2])
    itk.imwrite(itk.image_from_array(several), str(tmp_path / "a.mha"))
    for number in range(3):
        np.testing.assert_array_equal(read_volume_file(tmp_path / "a.mha", number).voxels, several[number].T)
    assert "Choose one of its 3 volumes" in refused(tmp_path / "a.mha")


def test_colour_and_complex(tmp_path):
    rgb = itk.Image[itk.RGBPixel[itk.UC], 3].New()
    rgb.SetRegions([4, 3, 2])
    rgb.Allocate()
    itk.imwrite(rgb, str(tmp_path / "a.nrrd"))
    assert "is in colour (rgb). Convert it to grey levels." in refused(tmp_path / "a.nrrd", 0)
    lines = ("dimension: 4", "sizes: 2 4 3 2", "kinds: complex domain domain domain")
    path = nrrd(tmp_path / "c.nrrd", *lines, data=np.stack([VOXELS, VOXELS], -1).tobytes())
    assert "is complex. Write its magnitude instead." in refused(path, 0)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_wrong_checksum_is_believed(tmp_path, suffix):
    """ITK reads all of these without an error, and gives other voxels."""
    path = tmp_path / f"a{suffix}"
    volume = np.random.default_rng(0).integers(0, 1000, (12, 12, 12)).astype(np.int16)
    itk.imwrite(itk.image_from_array(volume), str(path), compression=True)
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_volume_file(path).voxels, volume.T)
    for place in np.linspace(len(whole) // 2, len(whole) - 1, 12).astype(int):
        data = bytearray(whole)
        data[place] ^= 16
        path.write_bytes(data)
        assert "is truncated or damaged (" in refused(path)


def test_a_stream_that_goes_on(tmp_path):
    path = tmp_path / "a.nrrd"
    nrrd(path, "encoding: gzip", data=zlib.compress(VOXELS.tobytes() + bytes(2 * TAIL), wbits=31))
    assert f"goes on for more than {TAIL} bytes after the 96 it declares" in refused(path)


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
class TestDetached:
    @pytest.fixture
    def header(self, tmp_path, suffix):
        folder = tmp_path / "scans"
        folder.mkdir()
        itk.imwrite(itk.image_from_array(VOXELS), str(folder / f"a{suffix}"))
        return folder / f"a{suffix}"

    @staticmethod
    def name(header, other):
        header.write_text(header.read_text().replace("a.raw", other))
        return header

    def test_it_is_read(self, header, suffix):
        np.testing.assert_array_equal(read_volume_file(header).voxels, VOXELS.T)

    def test_below_the_folder(self, header, suffix):
        (header.parent / "raw").mkdir()
        (header.parent / "a.raw").rename(header.parent / "raw" / "b.raw")
        np.testing.assert_array_equal(read_volume_file(self.name(header, "raw/b.raw")).voxels, VOXELS.T)

    def test_a_link_does_not_lead_out(self, header, suffix):
        outside = header.parent.parent / "secret.raw"
        outside.write_bytes(VOXELS.tobytes())
        (header.parent / "a.raw").unlink()
        (header.parent / "a.raw").symlink_to(outside)
        assert "outside of its folder" in refused(header)
        (header.parent / "a.raw").unlink()
        (header.parent / "raw").symlink_to(header.parent.parent)
        assert "outside of its folder" in refused(self.name(header, "raw/secret.raw"))
        outside.rename(header.parent / "b.raw")
        (header.parent / "raw").unlink()
        (header.parent / "c.raw").symlink_to("b.raw")  # which stays inside
        header.write_text(header.read_text().replace("raw/secret.raw", "c.raw"))
        np.testing.assert_array_equal(read_volume_file(header).voxels, VOXELS.T)

    @pytest.mark.parametrize("other", ["../a.raw", "/etc/passwd", "raw/../../a.raw"])
    def test_it_reaches_nothing_outside(self, header, suffix, other):
        (header.parent.parent / "a.raw").write_bytes(VOXELS.tobytes())
        assert "outside of its folder. Move the file there" in refused(self.name(header, other))

    def test_missing_and_short(self, header, suffix):
        (header.parent / "a.raw").write_bytes(VOXELS.tobytes()[:50])
        assert "is truncated or damaged (it declares 96 bytes and has 50)" in refused(header)
        (header.parent / "a.raw").unlink()
        assert "A header needs the file with its voxels" in refused(header)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_declared_sizes(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    itk.imwrite(itk.image_from_array(VOXELS), str(path))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"4 3 2", b"30000 30000 30000"))
    assert "declares 30000 × 30000 × 30000 voxels" in refused(path)
    path.write_bytes(whole.replace(b"4 3 2", b"4 3 900"))
    assert "it declares 43" in refused(path)


def test_a_name_that_is_not_utf_8(tmp_path):
    path = f"{tmp_path}/sch\udce4del.nrrd"
    with open(path, "wb") as file:
        file.write(nrrd(tmp_path / "a.nrrd").read_bytes())
    np.testing.assert_array_equal(read_volume_file(path).voxels, VOXELS.T)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.nrrd", b"\x89PNG", "there is no NRRD in"),
        ("a.mhd", b"NDims = 3\n", "there is no MetaImage in"),
        ("a.mhd", b"NDims = 3\nElementDataFile = \n", "there is no name of a file with voxels in '"),
    ],
)
def test_no_header(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert message in refused(tmp_path / name)


def test_bytes_too_many_are_said(tmp_path):
    lines = ("space: LPS", "space directions: (2,0,0) (0,2,0) (0,0,2)", "space origin: (5,6,7)")
    path = nrrd(tmp_path / "a.nrrd", *lines, data=VOXELS.tobytes() + b"abc")
    assert read_volume_file(path).warnings == (
        "The file has 3 bytes more than it declares: its voxels may be displaced.",
    )


@pytest.mark.parametrize("sign", [":", " : ", "\t:", " = ", " := "])
def test_other_signs_for_equals_do_not_hide_a_file(tmp_path, sign):
    """MetaIO takes a colon for it, and the first line that names a file."""
    secret = tmp_path / "secret.raw"
    secret.write_bytes(bytes(range(64)))
    (tmp_path / "in").mkdir()
    head = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\n"
    file = tmp_path / "in" / "a.mhd"
    file.write_bytes(f"{head}ElementDataFile{sign}{secret}\nElementDataFile = LOCAL\n".encode() + bytes(64))
    assert "outside of its folder. Move the file there" in refused(file)
    file.write_bytes(f"{head}ElementDataFile{sign}LOCAL\n".encode() + bytes(range(64)))
    assert read_volume_file(file).voxels.sum() == sum(range(64))


SPELLINGS = [
    *("data file: {}", "datafile: {}", "Data File: {}", "DATAFILE:{}", "data file: {}\r"),
    *("data file: LIST\n{}", "datafile: LIST 2\na.raw\n{}", "data file: x%01d.raw 0 1 1\ndata file: {}"),
    "content: a\x0bdata file: b.raw\ndata file: {}",
]


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr"])
@pytest.mark.parametrize("line", SPELLINGS)
@pytest.mark.parametrize("comments", [0, 2**20])
def test_no_spelling_reaches_outside(tmp_path, suffix, line, comments):
    """A name that is found only after a megabyte of comments is none: headers are shorter."""
    (tmp_path / "in").mkdir()
    secret = tmp_path / "secret.raw"
    secret.write_bytes(VOXELS.tobytes())
    for name in ("a.raw", "b.raw", "x0.raw", "x1.raw"):
        (tmp_path / "in" / name).write_bytes(bytes(48))
    path = nrrd(tmp_path / "in" / f"a{suffix}")
    head = path.read_bytes().split(b"\n\n")[0] + b"\n" + b"# a comment\n" * (comments // 12 + 1)
    path.write_bytes(head + line.format(secret).encode() + b"\n\n" + bytes(96))
    said = refused(path)
    assert ("has at most 1048576 bytes" if comments else "") in said
    assert comments or "outside of its folder" in said or "says each thing once" in said


def test_meta_image_lists_and_patterns_stay_inside(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "s0.raw").write_bytes(bytes(64))
    head = "NDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementDataFile = "
    for said in ("LIST\n../s0.raw", "LIST 2\n../s0.raw", "../s%d.raw 0 0 1", f"{tmp_path}/s%01d.raw 0 0 1"):
        (tmp_path / "in" / "a.mhd").write_text(head + said + "\n")
        assert "outside of its folder" in refused(tmp_path / "in" / "a.mhd")
    (tmp_path / "in" / "a.mhd").write_text("Comment = x\n" * 2**17 + head + "../s0.raw\n")
    assert "has at most 1048576 bytes" in refused(tmp_path / "in" / "a.mhd")


@pytest.mark.parametrize("length", [600, 2000, 100_000])
@pytest.mark.parametrize("field", ["encoding", "type", "space", "kinds", "endian", "sizes", "content", "units"])
def test_long_values(tmp_path, field, length):
    """ITK's reader ends its process on some of these."""
    path = nrrd(tmp_path / "a.nrrd", f"{field}: {'A' * length}")
    if field in ("space", "content", "units"):
        np.testing.assert_array_equal(read_volume_file(path).voxels, VOXELS.T)
    else:
        assert f"A header must be well formed: `{field}` of a NRRD file is" in refused(path)


ENCODED = {
    "raw": lambda data: data,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "hex": lambda data: data.hex().encode(),
    "ascii": lambda data: " ".join(map(str, np.frombuffer(data, "<f4"))).encode(),
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_encodings(tmp_path, encoding):
    data = ENCODED[encoding](VOXELS.tobytes())
    path = nrrd(tmp_path / "a.nrrd", f"encoding: {encoding}", data=data)
    np.testing.assert_array_equal(read_volume_file(path).voxels, VOXELS.T)
    path = nrrd(tmp_path / "a.nrrd", f"encoding: {encoding}", data=data[: len(data) // 2])
    assert "is truncated or damaged (" in refused(path)


def test_slices_in_files_of_their_own(tmp_path):
    for k, plane in enumerate(VOXELS):
        (tmp_path / f"s{k}.raw").write_bytes(b"skip" + plane.tobytes())
    for said in ("s%d.raw 0 1 1 2", "LIST 2\ns0.raw\ns1.raw"):
        path = nrrd(tmp_path / "a.nhdr", "byte skip: 4", "encoding: raw", f"data file: {said}", data=b"")
        np.testing.assert_array_equal(read_volume_file(path).voxels, VOXELS.T)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("int8", "i1"), ("uchar", "u1"), ("short", "<i2"), ("uint", "<u4"), ("float", "<f4"), ("double", "<f8")],
)
def test_a_list_of_volumes_as_3d_slicer_writes_it(tmp_path, kind, dtype, count):
    """Of any type and count, one volume too; ITK's Python has images of floats with two to four components only."""
    voxels = np.random.default_rng(0).integers(0, 99, (2, 3, 4, count)).astype(dtype)
    lines = (f"type: {kind}", "dimension: 4", f"sizes: {count} 4 3 2", "kinds: list domain domain domain", "space: RAS")
    lines += ("space directions: none (1,0,0) (0,2,0) (0,0,3)", "space origin: (5,6,7)")
    path = nrrd(tmp_path / "a.nrrd", *lines, data=voxels.tobytes())
    for number in range(count):
        read = read_volume_file(f"{path}@{number}")
        np.testing.assert_array_equal(read.voxels, voxels[..., number].T)
        np.testing.assert_allclose(read.voxel_to_world, [[1, 0, 0, 5], [0, 2, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    if count > 1:
        assert f"has {count}. Choose one of them" in refused(path)
        assert f"0 to {count - 1}: volume {count} of" in refused(path, count)


def meta_image(path, *lines, data=None):
    head = ["NDims = 3", "DimSize = 4 3 2", "ElementType = MET_FLOAT", "TransformMatrix = 1 0 0 0 1 0 0 0 1", *lines]
    data = VOXELS.tobytes() if data is None else data
    path.write_bytes("\n".join([*head, "ElementDataFile = LOCAL", ""]).encode() + data)
    return path


class TestWhatAHeaderSaysTwice:
    @pytest.mark.parametrize(
        "lines",
        [
            ("BinaryDataByteOrderMSB = False", "ElementByteOrderMSB = True"),
            ("Offset = 0 0 0", "Position = 0 0 5"),
            ("Orientation = 1 0 0 0 1 0 0 0 -1",),
            ("DimSize = 4 2 3",),
        ],
    )
    def test_in_a_meta_image(self, tmp_path, lines):
        said = refused(meta_image(tmp_path / "a.mha", *lines))
        assert "A header says each thing once: '" in said
        assert said.endswith("`. Remove the wrong line.")

    def test_and_alike(self, tmp_path):
        path = meta_image(tmp_path / "a.mha", "BinaryDataByteOrderMSB = False", "ElementByteOrderMSB = False")
        np.testing.assert_array_equal(read_volume_file(path).voxels, VOXELS.T)

    @pytest.mark.parametrize("size", [99, 5])
    def test_where_the_voxels_begin(self, tmp_path, size):
        assert "`HeaderSize`".lower() in refused(meta_image(tmp_path / "a.mha", f"HeaderSize = {size}")).lower()

    def test_directions_that_are_not_of_length_1(self, tmp_path):
        path = tmp_path / "a.mha"
        meta_image(path)
        path.write_bytes(path.read_bytes().replace(b"0 0 0 1\n", b"0 0 0 4\n"))
        read = read_volume_file(path)
        assert (
            "two spacings: the directions of `TransformMatrix`, which should be 1 long, are 1 × 1 × 4."
            in (read.warnings[0])
        )

    def test_orientations(self, tmp_path):
        assert read_volume_file(meta_image(tmp_path / "a.mha", "AnatomicalOrientation = RAI")).warnings == ()
        assert read_volume_file(meta_image(tmp_path / "a.mha", "AnatomicalOrientation = ???")).warnings == ()
        (said,) = read_volume_file(meta_image(tmp_path / "a.mha", "AnatomicalOrientation = LPI")).warnings
        assert "two orientations: `AnatomicalOrientation` is LPI, and `TransformMatrix` RAI, which is used" in said

    def test_letters_of_itk(self, tmp_path):
        """Of all 48 orientations of an axis-aligned image."""
        for order, *signs in itertools.product(itertools.permutations(range(3)), *[(1, -1)] * 3):
            image = itk.image_from_array(VOXELS)
            image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(np.eye(3)[:, order] * signs)))
            itk.imwrite(image, str(tmp_path / "a.mha"))
            assert read_volume_file(tmp_path / "a.mha").warnings == ()

    def test_in_a_nrrd(self, tmp_path):
        path = nrrd(tmp_path / "a.nrrd", "space: LPS", "space directions: (1,0,0) (0,1,0) (0,0,1)")
        path.write_bytes(path.read_bytes().replace(b"endian: little", b"endian: little\nendian: big"))
        assert "A header says each thing once: '" in refused(path)


def test_a_space_without_directions(tmp_path):
    read = read_volume_file(nrrd(tmp_path / "a.nrrd", "space: LPS", "spacings: 1 2 3"))
    assert not read.has_affine
    assert "states no space (NRRD `space directions`)" in read.warnings[0]
    np.testing.assert_allclose(np.abs(np.diag(read.voxel_to_world)), [1, 2, 3, 1])


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_bytes_after_packed_voxels(tmp_path, suffix):
    data = zlib.compress(VOXELS.tobytes() + bytes(8), wbits=31 if suffix == ".nrrd" else 15)
    path = tmp_path / f"a{suffix}"
    if suffix == ".nrrd":
        nrrd(path, "encoding: gzip", "space: LPS", "space directions: (1,0,0) (0,1,0) (0,0,1)", data=data)
    else:
        meta_image(path, "CompressedData = True", data=data)
    read = read_volume_file(path)
    np.testing.assert_array_equal(read.voxels, VOXELS.T)
    assert read.warnings == ("The file has 8 bytes more than it declares: its voxels may be displaced.",)
