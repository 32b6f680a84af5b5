"""Assemble the self-contained model-zoo form of this repository's bundle.

python scripts/build_zoo_bundle.py --output_dir dist/zoo
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossd.errors import CrossDError
from crossd.zoo import NAME, build_zoo_bundle, zip_bundle


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", default="dist/zoo", help="the bundle goes to OUTPUT_DIR/NAME")
    parser.add_argument("--name", default=NAME, help="ends in _classification; default: %(default)s")
    parser.add_argument("--large_files_url", help="where files above 25 MB will be downloaded from, by their names")
    parser.add_argument("--zip", metavar="DIR", help="zip it too, as monai.bundle.download takes it")
    arguments = parser.parse_args()
    try:
        bundle = build_zoo_bundle(
            Path(__file__).resolve().parents[1], arguments.output_dir, arguments.name, arguments.large_files_url
        )
        zipped = zip_bundle(bundle, arguments.zip) if arguments.zip else None
    except CrossDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    files = [path for path in bundle.rglob("*") if path.is_file()]
    print(f"{bundle}: {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")
    large = bundle / "large_files.yml"
    if large.is_file():
        print(f"upload {bundle}_large_files/ to {arguments.large_files_url}: {large} names its files")
    if zipped:
        print(f"{zipped}: {zipped.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
