"""The text headers of NRRD and MetaImage: where their voxels are, which ITK does not tell.

Formats: https://teem.sourceforge.net/nrrd/format.html and https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from crossd.errors import CrossDError

_LONGEST = 2**20  # bytes of a header; lists of a thousand files take 30 kB
_UNITS = {"mm": 1.0, "m": 1000.0, "cm": 10.0, "um": 0.001, "µm": 0.001, "micron": 0.001, "microns": 0.001}
_TRANSFORMS = ("transformmatrix", "rotation", "orientation")  # names that MetaIO takes for the same thing


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
