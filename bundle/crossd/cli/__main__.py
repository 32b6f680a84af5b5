"""`python -m crossd.cli`, where the script `crossd` is not on the path."""

from __future__ import annotations

import sys

from crossd.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
