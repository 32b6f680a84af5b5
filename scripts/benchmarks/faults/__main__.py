"""Damage good scans in every way there is and run the inference bundle on them: each must end as an answer or a reason.

python -m scripts.benchmarks.faults --count 60
python -m scripts.benchmarks.faults --cases scans --outcomes output/faults.csv --page docs/reliability.md
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from pathlib import Path

from crossd.errors import in_one_line

from scripts.benchmarks.faults import run_campaign, write_campaign

ROOT = Path(__file__).resolve().parents[3]


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", help="good scans to damage copies of; default: phantoms of ten formats are made")
    parser.add_argument("--count", type=int, default=600, help="damaged inputs; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--config", default=str(ROOT / "configs" / "inference.json"), help="default: %(default)s")
    parser.add_argument("--weights", help="default: a small network with random weights is made")
    parser.add_argument("--timeout", type=float, default=240, help="seconds for each run; default: %(default)s")
    parser.add_argument("--outcomes", type=Path, help="a CSV with what became of each input")
    parser.add_argument("--page", help="a page whose table is replaced")
    given = parser.parse_args()
    campaign = run_campaign(
        given.config, given.count, given.seed, given.cases, given.weights, timeout=given.timeout, progress=print
    )
    if given.page:
        made = f"`--seed {given.seed}`, {'phantoms of ten formats' if given.cases is None else 'scans'}."
        write_campaign(given.page, campaign, f"{given.count} damaged inputs, {made}")
    if given.outcomes:
        given.outcomes.parent.mkdir(parents=True, exist_ok=True)
        with given.outcomes.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file)
            writer.writerow(["source", "kind", "result", "reason"])
            writer.writerows((each.source, each.kind, each.result, each.reason) for each in campaign.outcomes)
    print(", ".join(f"{number} {result}" for result, number in Counter(o.result for o in campaign.outcomes).items()))
    for defect in campaign.defects:
        print(f"defect: {defect.result}: {defect.source}, {defect.kind}: {defect.reason}", file=sys.stderr)
    return 1 if campaign.defects else 0


if __name__ == "__main__":
    sys.exit(main())
