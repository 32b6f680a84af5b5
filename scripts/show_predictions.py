"""Print the table of an inference run and where its evidence maps are.

python scripts/show_predictions.py demo/output
"""

from __future__ import annotations

import argparse
from pathlib import Path

from crossd.data.delimited import read_table
from crossd.texts import printable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output_dir", type=Path, help="the --output_dir of configs/inference.json")
    folder = parser.parse_args().output_dir
    table = read_table(folder / "predictions.csv")
    header = [name for name in table.columns if name != "source"]
    rows = [[printable(row[name]) for name in header] for row in table.rows]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    print()
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    maps = sorted((folder / "evidence").glob("*.nii.gz"))
    print(f"\ntable: {folder / 'predictions.csv'} (and predictions.json)")
    print(f"evidence maps: {len(maps)} files in {folder / 'evidence'}; open one over its input, in any NIfTI viewer")
    if (folder / "report.html").is_file():
        print(f"report: {(folder / 'report.html').absolute().as_uri()} (open it in a browser)")


if __name__ == "__main__":
    main()
