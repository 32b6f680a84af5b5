"""One volume out of a NRRD or MetaImage file, by ITK, which does not tell where in which file its voxels are.

Formats: https://teem.sourceforge.net/nrrd/format.html and https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from crossd.data.declared_sizes import DEFLATE_AT_MOST, check_declared, check_deflated, check_voxels, too_many
from crossd.data.volume import Volume, choose_volume
from crossd.errors import CrossDError

_LONGEST = 2**20  # bytes of a header; lists of a thousand files take 30 kB
_UNITS = {"mm": 1.0, "m": 1000.0, "cm": 10.0, "um": 0.001, "µm": 0.001, "micron": 0.001, "microns": 0.001}
_TRANSFORMS = ("transformmatrix", "rotation", "orientation")  # names that MetaIO takes for the same thing
_DIGITS = 8  # a written byte takes up to four characters ("255 "), and `hex` two


@dataclass(frozen=True)
class TextHeader:
    """What stands before the voxels.

    Attributes:
        fields: names in lower case, and their values.
        files: where the voxels are; the header's own file where they follow it.
        offset: byte of `files[0]` at which they begin, as far as the header says it.
        packing: "raw", "gzip" (zlib for MetaImage), or as a NRRD header names it.
    """

    fields: dict[str, str]
    files: tuple[str, ...]
    offset: int
    packing: str

    @property
    def millimetres(self) -> float:
        """By what to multiply lengths; 1 where no unit, an unknown one, or several are stated."""
        units = re.findall(r'[^"\s]+', self.fields.get("space units", self.fields.get("distanceunits", "")))
        units = [unit for unit in units if unit != "???"]
        return _UNITS.get(units[0].lower(), 1.0) if units and len(set(units)) == 1 else 1.0

    @property
    def states_space(self) -> bool:
        """Whether the header says where in the patient the axes run to."""
        if "space" in self.fields:
            return self.fields["space"].lower().removesuffix("-time") in (
                *("right-anterior-superior", "ras", "left-anterior-superior", "las"),
                *("left-posterior-superior", "lps"),
            )
        return any(name in self.fields for name in _TRANSFORMS)


def read_text_header(path: str) -> TextHeader:
    """Read the header of a .nrrd, .nhdr, .mha or .mhd file.

    Raises:
        CrossDError: no such header, and voxels in files that are missing or lie outside of the header's folder: such a
            header would have any file of the computer shown as an image.
    """
    with open(path, "rb") as file:
        block = file.read(_LONGEST)
    if path.lower().endswith((".nrrd", ".nhdr")):
        return _read_nrrd(path, block)
    return _read_meta_image(path, block)


def _read_nrrd(path: str, block: bytes) -> TextHeader:
    if not block.startswith(b"NRRD"):
        raise _is_not(path, "NRRD")
    end = re.search(rb"\r?\n\r?\n", block)
    offset = end.end() if end else len(block)
    fields: dict[str, str] = {}
    after: list[str] = []
    for line in block[:offset].decode("utf-8", "replace").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if _data_file(fields).upper().startswith("LIST"):
            after.append(line.strip())
        elif colon and not line.startswith("#") and not value.startswith("="):  # `:=` are notes of the writer
            fields[name.strip().lower()] = value.strip()
    packing = {"gz": "gzip"}.get(fields.get("encoding", "raw").lower(), fields.get("encoding", "raw").lower())
    said = _data_file(fields)
    if not said:
        return TextHeader(fields, (path,), offset, packing)
    skip = int(fields.get("byte skip", fields.get("byteskip", "0")))
    skipped = skip or int(fields.get("line skip", fields.get("lineskip", "0")))
    return TextHeader(
        fields, _found(path, said, after), max(skip, 0), packing if not skipped else f"{packing}, skipped"
    )


def _data_file(fields: dict[str, str]) -> str:
    return fields.get("data file", fields.get("datafile", ""))


def _read_meta_image(path: str, block: bytes) -> TextHeader:
    fields: dict[str, str] = {}
    after: list[str] = []
    offset = 0
    for raw in block.splitlines(keepends=True):
        line = raw.decode("utf-8", "replace")
        found = re.match(r"\s*([^\s=:]+)[\s=:]*(.*)", line)  # MetaIO takes a colon for the equals sign
        if "elementdatafile" in fields:
            if not fields["elementdatafile"].upper().startswith("LIST"):
                break
            after.append(line.strip())
            continue
        offset += len(raw)
        if found:
            fields[found[1].lower()] = found[2].strip()
    if "elementdatafile" not in fields:
        raise _is_not(path, "MetaImage")
    packing = "gzip" if fields.get("compresseddata", "").lower().startswith(("t", "1")) else "raw"
    if fields["elementdatafile"].upper() == "LOCAL":
        return TextHeader(fields, (path,), offset, packing)
    files = _found(path, fields["elementdatafile"], after)
    skipped = fields.get("headersize", "0") != "0"
    return TextHeader(fields, files, 0, f"{packing}, skipped" if skipped else packing)


def _found(path: str, said: str, after: list[str]) -> tuple[str, ...]:
    """The files that a header names: one, a list of lines after it, or a pattern with its first, last and step."""
    words = said.split()
    if not words:
        raise _is_not(path, "name of a file with voxels")
    names = [said]
    if words[0].upper() == "LIST":
        names = [name for name in after if name]
    elif len(words) in (4, 5) and re.fullmatch(r"[^%]*%0?\d*d[^%]*", words[0]):
        first, last, step = (int(word) for word in words[1:4])
        if step == 0 or abs(last - first) / abs(step) > _LONGEST:
            raise _is_not(path, f"list of files ({said})")
        names = [words[0] % number for number in range(first, last + (1 if step > 0 else -1), step)]
    folder = os.path.dirname(os.path.abspath(path))
    files = tuple(os.path.normpath(os.path.join(folder, name)) for name in names)
    for file in files:
        if os.path.isabs(os.path.relpath(file, folder)) or os.path.relpath(file, folder).startswith(os.pardir):
            raise CrossDError(
                f"The voxels of a header must lie beside it: '{path}' names '{file}', outside of its folder. Move the "
                "file there and name it without a path."
            )
        if not os.path.isfile(file):
            raise CrossDError(
                f"A header needs the file with its voxels: '{path}' names '{file}', which is not there. Copy it too."
            )
    return files


def _is_not(path: str, kind: str) -> CrossDError:
    return CrossDError(f"An image file must hold what its name says: there is no {kind} in '{path}'. Copy it again.")


def read_with_itk(path: str, volume: int | None = None) -> Volume:
    """Read .nrrd, .nhdr, .mha or .mhd; ITK's world is LPS, and becomes RAS here.

    Args:
        path: the file.
        volume: which volume of a 4D file, from 0; the axis may be a NRRD one of the kind "list" or "vector" too.

    Raises:
        CrossDError: colour, complex values, 2D, 4D without a choice, voxels elsewhere or fewer than declared, a
            compressed stream that is damaged; ITK raises `RuntimeError` for other damage.
    """
    text = read_text_header(path)
    if any("\udc80" <= sign <= "\udcff" for sign in path):  # bytes that are no UTF-8, as Python shows them
        raise CrossDError(f"ITK opens files whose names are UTF-8: that of '{path}' is not. Rename it.")
    import itk

    header = itk.ImageIOFactory.CreateImageIO(path, itk.CommonEnums.IOFileMode_ReadMode)
    if header is None:
        raise CrossDError(
            f"An image file must hold what its name says: ITK finds no NRRD or MetaImage in '{path}'. Copy it again."
        )
    header.SetFileName(path)
    header.ReadImageInformation()
    components = int(header.GetNumberOfComponents())
    kind = header.GetPixelTypeAsString(header.GetPixelType())
    sizes = tuple(int(header.GetDimensions(axis)) for axis in range(int(header.GetNumberOfDimensions())))
    if components > 1:
        _check_components(path, kind, components, volume)
    axes = (*sizes, components) if components > 1 and len(sizes) >= 3 else sizes
    shape, number = choose_volume(path, axes, volume)
    check_voxels(path, (*sizes, components) if components > 1 else sizes)
    surplus = _check_files(path, text, prod((*sizes, components)) * int(header.GetComponentSize()))
    if kind == "scalar":
        image = itk.imread(path, pixel_type=itk.F)
        voxels = itk.array_from_image(image).reshape(-1, *shape[::-1])[number]  # (…, k, j, i)
    else:  # a list may have any number of components, one of them too
        reader = itk.ImageFileReader[itk.VectorImage[itk.F, len(sizes)]].New(FileName=path)
        reader.Update()
        image = reader.GetOutput()
        voxels = itk.array_from_image(image).reshape(*shape[::-1], components)[..., number]
    lps, stated, warnings = _place(image, text)
    return Volume(voxels.transpose().astype(np.float32, copy=False), lps, stated, (*warnings, *too_many(surplus)))


def _check_components(path: str, kind: str, components: int, volume: int | None) -> None:
    if kind == "complex":
        raise CrossDError(f"A volume has real values: '{path}' is complex. Write its magnitude instead.")
    if kind in ("rgb", "rgba"):
        raise CrossDError(
            f"A volume has one value per voxel: '{path}' is in colour ({kind}). Convert it to grey levels."
        )
    if volume is None:
        raise CrossDError(
            f"A volume has one value per voxel: '{path}' has {components}. Choose one of them, counted from 0, as a "
            "volume (--volume 0, or FILE@0 in place of the path), or convert colour to grey levels."
        )


def _check_files(path: str, text: TextHeader, needed: int) -> int:
    """Hold the declared bytes against the files, and compressed ones against their checksum, which ITK ignores.

    Returns:
        Bytes that uncompressed files have beyond the declared ones.
    """
    packing, _, skipped = text.packing.partition(", ")
    ratio = {"raw": 1.0, "gzip": DEFLATE_AT_MOST}.get(packing, float(_DIGITS))
    if packing not in ("bzip2", "bz2"):
        check_declared(path, text.files, needed + (text.offset if packing == "raw" else 0), ratio)
    if packing == "gzip" and len(text.files) == 1 and not skipped:
        check_deflated(text.files[0], text.offset, needed)
    return sum(map(os.path.getsize, text.files)) - text.offset - needed if packing == "raw" and not skipped else 0


def _place(image: Any, text: TextHeader) -> tuple[np.ndarray, bool, tuple[str, ...]]:
    """`voxel_to_world` in RAS millimetres, whether the file states it, and what to tell of it."""
    import itk

    spacing, origin = np.asarray(itk.spacing(image))[:3], np.asarray(itk.origin(image))[:3]
    direction = np.asarray(itk.array_from_matrix(image.GetDirection()))[:3, :3]
    voxel_to_lps = np.eye(4)
    voxel_to_lps[:3, :3], voxel_to_lps[:3, 3] = direction * spacing, origin
    voxel_to_lps[:3] *= text.millimetres
    warnings = []
    if not text.states_space:
        field = "NRRD `space`" if "sizes" in text.fields else "MetaImage `TransformMatrix`"
        other = re.sub(r"[^\w-]", "", text.fields.get("space", ""))
        what = f"{field} is {other}" if other else field
        warnings.append(f"The file states no space ({what}): its axes are used in their own order.")
    if text.millimetres != 1:
        unit = text.fields.get("space units") or text.fields.get("distanceunits")
        warnings.append(f"The file's unit is {unit}: read as millimetres.")
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ voxel_to_lps, text.states_space, tuple(warnings)
