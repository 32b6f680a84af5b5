"""Time the whole run: one DICOM series against its parts alone, or NIfTI cases against a config in the zoo's style.

python scripts/benchmark_run.py --images scans/ct_chest
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from crossd.benchmark.speed.whole_run import FOLDED, ZOO_STYLE, describe, in_a_process, make_cases, ratio
from crossd.errors import CrossDError

ROOT = Path(__file__).resolve().parents[1]
OURS = str(ROOT / "configs" / "inference.json")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", help="a folder with one DICOM series; without it phantoms are made")
    parser.add_argument("--cases", type=int, default=50, help="phantoms; default: %(default)s")
    parser.add_argument("--size", type=int, default=71, help="voxels of a phantom's side; default: %(default)s")
    parser.add_argument("--spacing", type=float, default=0.9, help="mm between its voxels; default: %(default)s")
    parser.add_argument("--weights", default=str(ROOT / "models" / "model.pt"), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant; default: %(default)s")
    parser.add_argument("--folded", action="store_true", help="the zoo style's kernels are fixed once, as the bundle's")
    parser.add_argument("--no_report", action="store_true", help="the bundle writes no report.html, as the zoo style")
    parser.add_argument("--stages", action="store_true", help="say where the bundle's time goes")
    parser.add_argument("--threads", type=int, default=2, help="of torch; default: %(default)s")
    arguments = parser.parse_args()
    turns, alone = [], arguments.images is not None
    try:
        with tempfile.TemporaryDirectory() as folder:
            images = arguments.images or make_cases(f"{folder}/in", arguments.cases, arguments.size, arguments.spacing)
            shared = {"images": str(images), "weights": arguments.weights}
            bundle: dict = {"config": OURS, "output_dir": f"{folder}/ours", "stages": arguments.stages, **shared}
            bundle |= {"report": False} if arguments.no_report else {}
            folded = FOLDED if arguments.folded else {}
            zoo: dict = {"config": str(ZOO_STYLE), "output_dir": f"{folder}/zoo", **shared, **folded}
            task, options = ("parts_alone", shared) if alone else ("run_config", zoo)
            for _ in range(arguments.rounds):
                ours = in_a_process("run_config", arguments.threads, **bundle)
                turns.append((ours, in_a_process(task, arguments.threads, **options)))
    except CrossDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    runs, others = zip(*turns, strict=True)
    print(describe("bundle", runs), describe("parts alone" if alone else "zoo style", others), sep="\n")
    if alone:
        parts = [turn["read"] + turn["resample"] + turn["network"] for turn in others]
        print(ratio("bundle's run / (read + resample + network)", [turn["run"] for turn in runs], parts))
    for key in () if alone else ("process", "run"):
        print(ratio(f"{key}: zoo style / bundle", [turn[key] for turn in others], [turn[key] for turn in runs]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
