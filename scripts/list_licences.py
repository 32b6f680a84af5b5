"""List the licences of what crossd and its extras install; fails for GPL, for unknown and for missing ones.

python scripts/list_licences.py --output docs/licences.md
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossd.errors import CrossDError
from crossd.licences import EXPLAINED, check_licences, installed_packages

HEAD = """# Licences of dependencies

Made by `python scripts/list_licences.py --output docs/licences.md`: what packages state, of all that installing crossd
with its extras brings ([versions](../constraints.txt)). Wheels hold libraries of others with licences of their own,
which lie in the wheels; libgfortran, in those of numpy and scipy, is under GPL-3.0 with the GCC Runtime Library
Exception, which frees what is linked with it. Left out is what torch's build for NVIDIA GPUs brings, CUDA, which is
under NVIDIA's own licence; the build for CPUs has none of it. BSD: any of that family.

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", default="crossd", help="whose dependencies; default: %(default)s")
    parser.add_argument("--output", type=Path, help="a Markdown page; default: standard output")
    arguments = parser.parse_args()
    packages, absent = installed_packages(arguments.package)
    rows = ["| package | licence | for |", "|---|---|---|"]
    rows += [f"| {package.name} | {package.licence} | {package.needed_by} |" for package in packages]
    notes = [f"{licence} {reason}." for licence, reason in EXPLAINED.items()]
    page = "\n".join([*rows, "", *notes]) + "\n"
    if arguments.output:
        arguments.output.write_text(HEAD + page, encoding="utf-8")
    else:
        print(page, end="")
    if absent:
        print(f"not installed here, so not looked at: {', '.join(absent)}", file=sys.stderr)
    try:
        check_licences(packages)
    except CrossDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
