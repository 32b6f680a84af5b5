"""Write the folded network of a checkpoint for another runtime, compared with PyTorch before it is written.

python scripts/export.py --to onnx --output_dir dist/export
"""

from __future__ import annotations

import sys

from crossd.cli import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
