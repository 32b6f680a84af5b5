"""The table of a fault campaign, in a page between two marks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scripts import pages
from scripts.benchmarks.faults.campaign import Campaign
from scripts.benchmarks.faults.judgement import DEFECTS, Outcome

COLUMNS = {
    "same": "same answer",
    "warned": "answer with a warning",
    "refused": "refused with a reason",
    "changed": "another answer, unnoticed",
    "skipped": "not possible here",
    "defect": "crash, hang, lost or unnamed",
}


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: one row for each kind of damage, counted by what became of it, and the sum.

    >>> print(table([Outcome("dicom", "truncated", "refused"), Outcome("nifti", "truncated", "same")]))
    | damage | inputs | same answer | answer with a warning | refused with a reason | another answer, unnoticed | ...
    |---|---|---|---|---|---|---|---|
    | truncated | 2 | 1 | 0 | 1 | 0 | 0 | 0 |
    | **all** | **2** | **1** | **0** | **1** | **0** | **0** | **0** |
    """
    kinds = dict.fromkeys(outcome.kind for outcome in outcomes)
    lines = [f"| damage | inputs | {' | '.join(COLUMNS.values())} |", "|---|---" + "|---" * len(COLUMNS) + "|"]
    for kind in kinds:
        lines.append(_line(kind, [outcome for outcome in outcomes if outcome.kind == kind]))
    return "\n".join([*lines, _line("all", outcomes, "**")])


def write_campaign(page: str | Path, campaign: Campaign, told: str) -> None:
    """Write the table between the marks of a page.

    Args:
        page: Markdown with `<!-- faults:begin … -->` and `<!-- faults:end -->`.
        campaign: what to tell.
        told: a line on how it was made.

    Raises:
        CrossDError: a page without the marks.
    """
    took = (
        f"{told} The runs took {campaign.seconds:.0f} s; their largest resident set was {campaign.peak / 2**20:.0f} "
        f"MiB, {campaign.usual / 2**20:.0f} MiB with the good cases alone."
    )
    pages.update_page(page, "faults", f"{took}\n\n{table(campaign.outcomes)}")


def _line(name: str, outcomes: Sequence[Outcome], bold: str = "") -> str:
    counts = Counter("defect" if outcome.result in DEFECTS else outcome.result for outcome in outcomes)
    cells = [name, str(len(outcomes)), *(str(counts[column]) for column in COLUMNS)]
    return f"| {' | '.join(f'{bold}{cell}{bold}' for cell in cells)} |"
