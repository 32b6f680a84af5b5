"""The table of data sets in `docs/guide/datasets.md`, made from what the modules state.

python -m scripts.maintain.guide_table
"""

from __future__ import annotations

from crossd.data.sets.by_name import DATASETS
from crossd.data.sets.facts import DatasetFacts

_HEADER = ("`--dataset`", "what", "cases: release / paper", "a label says", "own options", "preset", "licence")


def guide_table() -> str:
    """Markdown, one row a data set: the paper's 3D sets, other volumes, then images.

    >>> guide_table().splitlines()[0]
    '| `--dataset` | what | cases: release / paper | a label says | own options | preset | licence |'
    """
    rows = [_HEADER, ("---",) * len(_HEADER)]
    for name in sorted(DATASETS, key=lambda name: _order(DATASETS[name].facts)):
        facts = DATASETS[name].facts
        options = ", ".join(f"`{option}`" for option in DATASETS[name].options if option not in ("seed",))
        counts = f"{_count(facts.count)} / {_count(facts.paper.count if facts.paper else None)}"
        count = len(facts.class_names)
        classes = "; ".join(facts.class_names) if 0 < count <= 5 else f"{count} classes" if count else ""
        says = f"{facts.meaning} ({classes})" if facts.meaning and classes else facts.meaning or classes
        preset = f"`{facts.preset}`" if facts.preset else "none: 2D images"
        what = f"[{facts.title}]({facts.address}): {facts.task}" if "://" in facts.address else facts.task
        rows.append((f"`{name}`", what, counts, says, options or "–", preset, facts.licence))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _order(facts: DatasetFacts) -> tuple[bool, bool, bool, str]:
    of_the_paper = facts.paper is not None and facts.paper.table == "V"
    return (facts.preset is None, facts.paper is None, not of_the_paper, facts.name)


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


if __name__ == "__main__":
    print(guide_table(), end="")
