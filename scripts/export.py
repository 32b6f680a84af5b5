"""Write the folded network of a checkpoint for another runtime, compared with PyTorch before it is written.

python scripts/export.py --to onnx --output_dir dist/export
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossd.errors import CrossDError
from crossd.export import FORMATS, export_network

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", required=True, metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--weights", default=str(ROOT / "models" / "model.pt"), help="default: %(default)s")
    parser.add_argument("--output_dir", default="dist/export", help="default: %(default)s")
    parser.add_argument("--name", help=f"of Triton's model; default: {FORMATS['triton'].path}")
    parser.add_argument("--bundle", default=str(ROOT), help="whose configs go into a TorchScript file")
    arguments = parser.parse_args()
    try:
        made = export_network(
            arguments.weights, arguments.to, arguments.output_dir, name=arguments.name, bundle=arguments.bundle
        )
    except CrossDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for file in made.files:
        print(f"{file}: {file.stat().st_size / 1e6:.2f} MB")
    for shape, difference in made.differences:
        print(f"  {'×'.join(map(str, shape))}: logits differ from PyTorch's by at most {difference:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
