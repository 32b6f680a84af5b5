#!/usr/bin/env python
"""Turn a pickled model or training checkpoint into a file of weights only: convert_checkpoint.py IN OUT.

WARNING: this unpickles IN, and unpickling runs whatever code the file contains, with your permissions. Use it only on
files whose origin you trust, best in a container without network. Everything else in this repository reads weights
only and never needs it for them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from crossd.checkpoints import read_checkpoint, save_checkpoint
from crossd.checkpoints.checkpoint_files import STATE_KEYS
from crossd.errors import CrossDError
from torch import Tensor, nn


def weights(content: Any) -> dict[str, Tensor]:
    """The state dict of a module, bare or in a training checkpoint under one of the usual names."""
    if isinstance(content, nn.Module):
        return content.state_dict()
    if not isinstance(content, Mapping):
        return {}
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    return tensors or next((weights(content[key]) for key in STATE_KEYS if key in content), {})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="IN", help="a file you trust: its code is run")
    parser.add_argument("target", type=Path, metavar="OUT", help="written; must not exist")
    arguments = parser.parse_args()
    try:
        if arguments.target.exists():
            raise CrossDError(f"OUT must be a new file; {arguments.target} exists. Choose another name.")
        found = weights(torch.load(arguments.source, map_location="cpu", weights_only=False))
        if not found:
            raise CrossDError(f"IN must hold a module or a state dict; {arguments.source} holds neither.")
        save_checkpoint(arguments.target, found)
    except (CrossDError, OSError, ImportError, AttributeError) as error:
        print(f"{error} (a pickled model needs the code of its classes to be importable)", file=sys.stderr)
        return 1
    print(f"{arguments.target}: {len(read_checkpoint(arguments.target)['model'])} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
