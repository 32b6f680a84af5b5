"""Compare maps of evidence of the shipped model on VesselMNIST3D, and write the table into a page.

python -m scripts.benchmarks.evidence --data ../shared/data/medmnist/vesselmnist3d_64.npz --split val
"""

from __future__ import annotations

import argparse
import sys

import crossd
import numpy as np
import torch
from crossd.checkpoints import read_card
from crossd.errors import in_one_line
from crossd.inference import inferer_from_card, network_from_card

from scripts.benchmarks.evidence.deletion import Deletion, delete, methods, table
from scripts.pages import update_page


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="vesselmnist3d_64.npz")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="default: %(default)s")
    parser.add_argument("--weights", default="models/model.pt", help="default: %(default)s")
    parser.add_argument("--only", nargs="*", help="methods by name; default: all")
    parser.add_argument("--cases", type=int, default=None, help="the first ones; default: all")
    parser.add_argument("--page", help="gets the table between its marks evidence-SPLIT")
    options = parser.parse_args()
    card = read_card(options.weights)
    network = network_from_card(card)
    crossd.load_pretrained(network, options.weights, strict_head=True)
    plain, inferer = crossd.fold(network).eval(), inferer_from_card(card)
    inferer.progress = False
    found: dict[str, list[Deletion]] = {}
    explains = {name: one for name, one in methods(plain).items() if not options.only or name in options.only}
    for number, voxels in enumerate(np.load(options.data)[f"{options.split}_images"][: options.cases]):
        image = (torch.from_numpy(voxels)[None].float() / 255 - card["input"]["mean"]) / card["input"]["std"]
        for name, explain in explains.items():
            found.setdefault(name, []).append(delete(explain, plain, image, inferer, 1, number))
        if number % 20 == 19:
            print(number + 1, table(found), sep="\n", file=sys.stderr, flush=True)
    print(table(found))
    if options.page:
        update_page(options.page, f"evidence-{options.split}", table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
