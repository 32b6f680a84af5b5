"""`python -m crossd.cli`, for where the script `crossd` is not installed."""

import sys

from crossd.cli import main

if __name__ == "__main__":
    sys.exit(main())
