"""Measure the scope of the shipped model and write it into the bundle's card; the weights stay as they are.

python -m scripts.maintain.scope --labels data/vessel/labels.csv

`labels` has the cases of the model by split, from `scripts/prepare_datalist.py --dataset vesselmnist3d --size 64`.
`card.scope` of `configs/metadata.json` is replaced.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

import crossd
from crossd.cards.rules import check_card
from crossd.cards.scope_entry import entry_of_scope
from crossd.checkpoints import read_card
from crossd.data import preprocessing, read_labels
from crossd.errors import in_one_line
from crossd.files import write_whole
from crossd.inference import inferer_from_card, network_from_card
from crossd.training.scope import measured_scope, seen_cases

ROOT = Path(__file__).resolve().parents[2]


def update_scope(repository: Path, labels: str) -> None:
    """Write the scope of `models/model.pt` into `configs/metadata.json`.

    Raises:
        CrossDError: for labels that are none of this model's, or too few cases.
    """
    weights, metadata = repository / "models" / "model.pt", repository / "configs" / "metadata.json"
    card = read_card(weights)
    network = network_from_card(card).eval()
    crossd.load_pretrained(network, weights, strict_head=True)
    cases = read_labels(None, labels, task=card["task"], classes=card["class_names"])
    scope = measured_scope(
        seen_cases(card, network, cases, preprocessing(card["input"]), inferer_from_card(card), progress=True)
    )
    described = json.loads(metadata.read_text(encoding="utf-8"))
    described["card"]["scope"] = entry_of_scope(scope)
    check_card(described["card"], str(metadata))
    write_whole(metadata, json.dumps(described, indent=4, ensure_ascii=False) + "\n")


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", required=True, help="the labels.csv that the model was trained on")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    update_scope(ROOT, parser.parse_args().labels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
