"""The header of a NRRD or MetaImage file: its fields, and the files of its own folder that hold the voxels.

Nothing else parses these headers, and no file is opened for them but those found here.
Formats: https://teem.sourceforge.net/nrrd/format.html and https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from crossd.errors import CrossDError

LONGEST = 2**20  # bytes of a header; lists of a thousand files take 30 kB
_MOST_FILES = 2**16
_PATTERN = re.compile(r"([^%\s]*%0?\d{0,2}d[^%\s]*)\s+(-?\d{1,9})\s+(-?\d{1,9})\s+(-?\d{1,9})(?:\s+\d{1,9})?")
_NRRD = frozenset(  # without the blanks that some may be written with
    (
        *("dimension", "type", "blocksize", "encoding", "endian", "content", "min", "max", "oldmin", "oldmax"),
        *("datafile", "lineskip", "byteskip", "number", "sampleunits", "sizes", "spacings", "thicknesses"),
        *("axismins", "axismaxs", "centers", "centerings", "labels", "units", "kinds", "space", "spacedimension"),
        *("spaceunits", "spaceorigin", "spacedirections", "measurementframe"),
    )
)
_META_IMAGE = {  # what is looked at; names that MetaIO takes for the same thing have one here
    name: names[0]
    for names in (
        *(("ndims",), ("dimsize",), ("elementtype",), ("elementnumberofchannels",), ("elementdatafile",)),
        *(("binarydata",), ("compresseddata",), ("headersize",), ("elementspacing",), ("elementsize",)),
        *(("elementbyteordermsb", "binarydatabyteordermsb"), ("offset", "position", "origin"), ("distanceunits",)),
        *(("transformmatrix", "rotation", "orientation"), ("anatomicalorientation",)),
    )
    for name in names
}


@dataclass(frozen=True)
class TextHeader:
    """What stands before the voxels."""

    path: str
    kind: str  # "NRRD" or "MetaImage"
    fields: dict[str, str]  # by names in lower case and without blanks; of names for one thing, the usual one
    files: tuple[str, ...]  # where the voxels are; the header's own file where they follow it
    offset: int  # byte of `files[0]` at which they begin, where they follow the header; 0 otherwise

    def malformed(self, name: str, rule: str) -> CrossDError:
        """The error for a field whose value is none."""
        said = self.fields.get(name)
        value = "lacks it" if said is None else f"says '{said[:60]}'"
        return CrossDError(
            f"A header must be well formed: `{name}` of a {self.kind} file is {rule}, and '{self.path}' {value}. "
            "Copy the file again, or write it anew."
        )


def read_text_header(path: str) -> TextHeader:
    """Read the header of a .nrrd, .nhdr, .mha or .mhd file.

    Raises:
        CrossDError: no such header, one that is longer than 1 MiB or says two things of one, and voxels in files that
            are missing or lie outside of the header's folder, be it by a link: such a header would have any file of
            the computer shown as an image.
    """
    with open(path, "rb") as file:
        block = file.read(LONGEST + 1)
    return (_read_nrrd if path.lower().endswith((".nrrd", ".nhdr")) else _read_meta_image)(path, block)


def _read_nrrd(path: str, block: bytes) -> TextHeader:
    if not block.startswith(b"NRRD"):
        raise _is_not(path, "NRRD")
    fields: dict[str, str] = {}
    after: list[str] = []
    offset, ended = 0, False
    for number, line in enumerate(_lines(block)):
        offset += len(line)
        text = line.decode("utf-8", "replace").rstrip()
        if number == 0:
            continue
        if _is_list(fields.get("datafile", "")):  # to the end of the file
            after.append(text)
            continue
        if ended := not text:
            break
        name, colon, value = text.partition(":")
        name = name.strip().lower().replace(" ", "")
        if text.startswith("#") or value.startswith("="):  # `:=` are notes of the writer
            continue
        if not colon or name not in _NRRD:
            raise CrossDError(
                f"A header must be well formed: a line of '{path}' is no field of NRRD ({text[:60]!r}). "
                "Copy the file again, or write it anew."
            )
        _state(path, fields, name, value.strip())
    _check_length(path, offset)
    if "datafile" in fields:
        return TextHeader(path, "NRRD", fields, _found(path, fields["datafile"], after), 0)
    if not ended:
        raise _is_not(path, "empty line after a NRRD header")
    return TextHeader(path, "NRRD", fields, (path,), offset)


def _read_meta_image(path: str, block: bytes) -> TextHeader:
    fields: dict[str, str] = {}
    after: list[str] = []
    offset = 0
    for line in _lines(block):
        offset += len(line)
        text = line.decode("utf-8", "replace").strip()
        if "elementdatafile" in fields:
            after.append(text)
        elif found := re.match(r"([^\s=:]+)[\s=:]*(.*)", text):  # MetaIO takes a colon for the equals sign
            name = _META_IMAGE.get(found[1].lower(), "")
            if name:
                _state(path, fields, name, found[2])
        if not _is_list(fields.get("elementdatafile", "LIST")):
            break
    _check_length(path, offset)
    if "elementdatafile" not in fields:
        raise _is_not(path, "MetaImage")
    said = fields["elementdatafile"]
    if said.upper() == "LOCAL":
        return TextHeader(path, "MetaImage", fields, (path,), offset)
    return TextHeader(path, "MetaImage", fields, _found(path, said, after), 0)


def _lines(block: bytes) -> list[bytes]:
    """With their ends: a line feed, and nothing else that Python takes for the end of a line."""
    return [line + b"\n" for line in block.split(b"\n")[:-1]] + [block[block.rfind(b"\n") + 1 :]]


def _is_list(said: str) -> bool:
    return said.split(maxsplit=1)[:1] == ["LIST"]


def _state(path: str, fields: dict[str, str], name: str, value: str) -> None:
    """Take a field; what is said twice must be said alike."""
    if fields.setdefault(name, value).lower() != value.lower():
        raise CrossDError(
            f"A header says each thing once: '{path}' says {fields[name][:60]!r} and {value[:60]!r} for `{name}`. "
            "Remove the wrong line."
        )


def _check_length(path: str, length: int) -> None:
    if length > LONGEST:
        raise CrossDError(
            f"A header has at most {LONGEST} bytes: that of '{path}' does not end before. It is damaged: copy the file "
            "again, or remove its comments."
        )


def _found(path: str, said: str, after: Sequence[str]) -> tuple[str, ...]:
    """The files that a header names: one, a list of lines after it, or a pattern with its first, last and step."""
    if not said:
        raise _is_not(path, "name of a file with voxels")
    names = [said]
    if _is_list(said):
        names = [name for name in after if name]
    elif pattern := _PATTERN.fullmatch(said):
        first, last, step = (int(pattern[group]) for group in (2, 3, 4))
        numbers = range(first, last + (1 if step > 0 else -1), step) if step else ()
        names = [pattern[1] % number for number in numbers[:_MOST_FILES]]
    if not 0 < len(names) < _MOST_FILES:
        raise _is_not(path, f"list of files ({said[:60]})")
    return tuple(file_beside(path, name) for name in names)


def file_beside(path: str, name: str) -> str:
    """The file that a header names, in the header's folder or below it.

    Links are followed first. A hard link cannot be told from a file of the folder, and is one.

    Raises:
        CrossDError: a file that lies elsewhere, or is not there.
    """
    folder = os.path.realpath(os.path.dirname(path))
    file = os.path.realpath(os.path.join(folder, name.replace("\0", "")))
    if not PurePath(file).is_relative_to(folder):
        raise CrossDError(
            f"The voxels of a header must lie beside it: '{path}' names '{name}', outside of its folder. Move the "
            "file there and name it without a path; a link does not do."
        )
    if not os.path.isfile(file):
        raise CrossDError(
            f"A header needs the file with its voxels: '{path}' names '{name}', which is not there. Copy it too."
        )
    return file


def _is_not(path: str, kind: str) -> CrossDError:
    return CrossDError(f"An image file must hold what its name says: there is no {kind} in '{path}'. Copy it again.")
