"""Run the inference bundle on a tree of DICOM folders and write a table of what became of each series.

python scripts/show_dicom_tree.py --images ../shared/data/dicom --output_dir output/dicom_tree > docs/dicom_tree.md
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from crossd.data import find_cases

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# A tree of DICOM folders, series by series

What `scripts/show_dicom_tree.py` prints: the inference bundle on all folders at once. The model is the bundle's own,
made for vessel shapes, so its probabilities mean nothing on these scans and are left out. Voxels are those stored.

| case | slices | voxels | status | what is said |
|---|---|---|---|---|"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, type=Path)
    parser.add_argument("--output_dir", required=True, type=Path, help="of the run; one that is there already is shown")
    arguments = parser.parse_args()
    predictions = arguments.output_dir / "predictions.json"
    if not predictions.is_file():
        run = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(ROOT / "configs" / "inference.json")]
        options = ["--images", str(arguments.images), "--output_dir", str(arguments.output_dir), "--dicom_sr", "True"]
        subprocess.run([*run, *options], stdout=sys.stderr, check=False)
    entries = json.loads(predictions.read_text(encoding="utf-8"))["cases"]
    sources = {item["case"]: item["image"][0] for item in find_cases(arguments.images)}
    print(HEAD)
    for entry in entries:
        series = sources[entry["case"]]
        shape = getattr(series, "shape", None)
        slices, voxels = (str(shape[2]), " × ".join(map(str, shape))) if shape else ("", "")
        said = " ".join([entry["reason"] or "", *entry["warnings"]]).strip() or "nothing"
        said = (
            said.replace(str(arguments.images.resolve()), "…").replace(str(arguments.images), "…").replace("|", "\\|")
        )
        print(f"| {entry['case']} | {slices} | {voxels} | {entry['status']} | {said} |")
    states = [entry["status"] for entry in entries]
    reports = len(list((arguments.output_dir / "structured_reports").glob("*.dcm")))
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("ok", "failed", "skipped"))
    print(f"\n{len(states)} entries: {counts}; {reports} structured reports.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
