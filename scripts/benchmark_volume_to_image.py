"""Measure 3D→2D transfer: a network trained on volumes, used on images, against random weights.

python scripts/benchmark_volume_to_image.py --images breastmnist.npz --output_dir output/volume_to_image

Runs configs/train_2d.json for every start and seed, and prints the table of their test reports. What is done already
with the same options is not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from crossd.benchmark.volume_to_image import run, starts, table
from crossd.bundle import bundle_root
from crossd.errors import CrossDError


def main() -> int:
    root = Path(bundle_root())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="2D data set with a test split, as for configs/train_2d.json")
    parser.add_argument(
        "--output_dir", type=Path, required=True, help="one folder per run in it, table.md, results.json"
    )
    parser.add_argument(
        "--weights", type=Path, required=True, help="trained on volumes, and not on these images before that"
    )
    parser.add_argument("--images_weights", type=Path, help="trained on images: adds a row")
    parser.add_argument("--trainable", default="norms", help="norms (weak probing), all or head; default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--image_size", type=int, default=64, help="pixels; default: %(default)s")
    arguments = parser.parse_args()
    names = ("images", "trainable", "epochs", "image_size")
    common = {name: getattr(arguments, name) for name in names}
    common |= {"images": str(Path(arguments.images).resolve()), "bootstrap_samples": 100}
    reports = {}
    try:
        for name, options in starts(arguments.weights, arguments.images_weights).items():
            folder = arguments.output_dir.resolve() / name.replace(", ", "_").replace(" ", "_")
            reports[name] = []
            for seed in range(arguments.seeds):
                reports[name].append(run(root, folder / f"seed_{seed}", {**common, **options, "seed": seed}))
                print(f"{name}, seed {seed}: {reports[name][-1]['metrics']['auc']['value']:.3f}", flush=True)
    except CrossDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    (arguments.output_dir / "table.md").write_text(table(reports) + "\n", encoding="utf-8")
    (arguments.output_dir / "results.json").write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    print(table(reports))
    return 0


if __name__ == "__main__":
    sys.exit(main())
