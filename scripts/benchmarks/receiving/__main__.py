"""Send to `crossd watch` over many associations at once, and count what it kept; the figures of docs/reliability.md.

python -m scripts.benchmarks.receiving --senders 100 --minutes 10 --page docs/reliability.md
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from crossd.errors import in_one_line

from scripts.benchmarks.receiving.measure import holds, measure, table
from scripts.pages import update_page

ROOT = Path(__file__).resolve().parents[3]


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--senders", type=int, default=100, help="associations at once; default: %(default)s")
    parser.add_argument("--minutes", type=float, default=10, help="default: %(default)s")
    parser.add_argument(
        "--pause", type=float, default=4, help="seconds between a sender's objects; default: %(default)s"
    )
    parser.add_argument("--port", type=int, default=11998, help="and the one after it; default: %(default)s")
    parser.add_argument("--page", type=Path, help="receives the table, between its marks")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        options = {"minutes": arguments.minutes, "pause": arguments.pause, "port": arguments.port}
        found = measure(ROOT, Path(made), arguments.senders, **options, say=lambda line: print(line, flush=True))
    print(json.dumps(found))
    if arguments.page:
        update_page(arguments.page, "receiving", table(found))
    return 0 if holds(found) else 1


if __name__ == "__main__":
    sys.exit(main())
