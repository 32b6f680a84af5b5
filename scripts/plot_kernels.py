"""Draw what a Cross-D network has learned: its 3D kernels, its predicted motions, and one kernel as its input changes.

python scripts/plot_kernels.py model.pt --images mednist.zip --output_dir pictures

Writes kernels.png, motions.png and moving.gif.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossd.errors import in_one_line
from crossd.pictures import animate_kernels, plot_motions, plot_stored, predicted_motions
from crossd.pictures.motions import evenly, moving_network, sample_images

BATCH = 32


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="of configs/pretrain_2d.json or configs/train.json")
    parser.add_argument("--images", required=True, help="2D data set, as for configs/pretrain_2d.json")
    parser.add_argument("--output_dir", type=Path, required=True, help="made if need be")
    parser.add_argument("--layer", default="conv1", help="whose 3D kernels are shown; default: %(default)s")
    parser.add_argument("--moving", metavar="LAYER", help="that is animated; default: the one that moves most")
    parser.add_argument(
        "--count", type=int, default=192, help="images that motions are predicted for; default: %(default)s"
    )
    parser.add_argument("--frames", type=int, default=12, help="images in the animation; default: %(default)s")
    arguments = parser.parse_args()
    folder = arguments.output_dir
    network, card = moving_network(arguments.checkpoint)
    images = sample_images(arguments.images, card, arguments.count)
    motions = predicted_motions(network, images.split(BATCH))
    folder.mkdir(parents=True, exist_ok=True)
    plot_stored(folder / "kernels.png", network, arguments.layer)
    plot_motions(folder / "motions.png", network, motions)
    shown = evenly(len(images), arguments.frames)
    layer = arguments.moving or max(motions, key=lambda name: float(motions[name].std(0).norm()))
    animate_kernels(folder / "moving.gif", network, layer, images[shown], motions[layer][shown])
    print(f"animated: {layer}")
    for name in ("kernels.png", "motions.png", "moving.gif"):
        print(f"{folder / name}: {(folder / name).stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
