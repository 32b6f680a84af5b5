"""Is a network that was trained on volumes of use on images? The paper's "or vice versa", measured.

python -m scripts.benchmarks.transfer.volume_to_image --images breastmnist.npz --weights model.pt --output_dir output

Every run is `configs/train_2d.json` as a user would start it, and its figures are those of its test report. A run whose
report is there already, of the same options, images and weights, is not repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossd.checkpoints import read_card
from crossd.data.images.image_files import FolderTree
from crossd.errors import CrossDError, in_one_line
from crossd.files import sha256, write_whole
from crossd.training.run_files import checkpoints

COLUMNS = ("auc", "balanced_accuracy", "accuracy")
CONFIGS = ("pretrain_2d", "train_2d")
FILES = ("images", "weights")
NOTED = "options.json"


def starts(volumes: Path, images: Path | None = None) -> dict[str, dict[str, Any]]:
    """What the rows of the table start from: options of `configs/train_2d.json`, by row.

    Random weights and those of volumes have the network of the first checkpoint, and its normalisation. What was
    trained on images has its depth and width, and all else, the normalisation too, by its own card.

    Args:
        volumes: a checkpoint of volumes, with its card.
        images: a checkpoint of images of the same network; None: no such row.

    Raises:
        CrossDError: for a checkpoint without a card, or one that was not trained on volumes.
    """
    card = read_card(volumes)
    network = {name: value for name, value in card["network"].items() if name not in ("num_classes", "in_channels")}
    if network.pop("spatial_dims", 3) != 3:
        raise CrossDError(f"This benchmark starts from a network trained on volumes; {volumes} is 2D. Pass a 3D one.")
    size = {name: network.pop(name) for name in ("depth", "width") if name in network}
    network.pop("alignment", None)
    same = {**size, "mean": card["input"]["mean"], "std": card["input"]["std"]}
    # volumes do not train the predictors: the kernels stay where volumes had them
    seen = {view: {**network, "alignment": "running", "view": view} for view in ("slice", "projection")}
    rows = {
        "random weights": {**same, "weights": "none", "network_options": seen["slice"]},
        "trained on volumes, middle slice": {**same, "weights": str(volumes), "network_options": seen["slice"]},
        "trained on volumes, projection": {**same, "weights": str(volumes), "network_options": seen["projection"]},
    }
    if images is not None:
        rows["trained on images"] = {**size, "weights": str(images)}
    return rows


def run(root: Path, output_dir: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """The test report of one run of `configs/train_2d.json`, which is done if it was not; weights by name alone.

    `options.json` in the run's folder says what it was made of.

    Args:
        root: the bundle's.
        output_dir: of the run.
        options: as on the command line.

    Raises:
        CrossDError: when the run fails, with its last lines; when the folder holds a run of other options.
    """
    report = output_dir / "test" / "metrics.json"
    _check(output_dir, report, options)
    if not report.is_file():
        files = [str(root / "configs" / f"{name}.json") for name in CONFIGS]
        command = [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", str(files)]
        given = {"bundle_root": str(root), "output_dir": str(output_dir), "tensorboard": False, "progress": False}
        for name, value in {**given, **options}.items():
            command += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
            raise CrossDError(f"Every run must end well; {output_dir} did not:\n{last}")
    content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return {**content, "weights": Path(content["weights"]).name}  # where they lay is nobody's concern


def _check(folder: Path, report: Path, options: Mapping[str, Any]) -> None:
    """Refuse a folder with what other options have made, and note these in one that is new."""
    now = {
        **json.loads(json.dumps(options)),
        **{name: _made_of(str(options[name])) for name in FILES if name in options},
    }
    noted = folder / NOTED
    then = json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else None
    if then is None and report.is_file():
        raise CrossDError(
            f"A report is used again for the options that it was made with; {report} does not say its own. Choose "
            "another --output_dir, or remove the folder."
        )
    if then is not None and then != now and (report.is_file() or checkpoints(folder)):
        changed = [
            f"{name} was {then.get(name)!r} and is {now.get(name)!r}"
            for name in sorted({*then, *now})
            if then.get(name) != now.get(name)
        ]
        raise CrossDError(
            f"A report is used again for the options that it was made with, got other ones for {folder}: "
            f"{'; '.join(changed)}. Give the same, choose another --output_dir, or remove the folder."
        )
    if then != now:
        write_whole(noted, json.dumps(now, indent=2) + "\n")


def _made_of(given: str) -> str:
    """A file by its name and content, a folder by its name and the names and sizes of its files, wherever they lie."""
    path = Path(given).expanduser()
    if path.is_file():
        return f"{path.name} {sha256(path)[:16]}"
    if not path.is_dir():
        return given
    listed = "".join(f"{name} {(path / name).stat().st_size}\n" for name in FolderTree(path).listed()[0])
    return f"{path.name} {hashlib.sha256(listed.encode()).hexdigest()[:16]}"


def table(reports: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Mean and standard deviation over seeds of each row's test metrics, as Markdown.

    >>> report = {"metrics": {name: {"value": 0.5} for name in COLUMNS}, "majority_rate": 0.7}
    >>> print(table({"random weights": [report]}).splitlines()[2])
    | random weights | 1 | 0.500 | 0.500 | 0.500 | 0.700 |
    """
    lines = ["| starts from | seeds | AUC | balanced accuracy | accuracy | majority |", "|---|---|---|---|---|---|"]
    for name, runs in reports.items():
        cells = [_spread([float(run["metrics"][column]["value"]) for run in runs]) for column in COLUMNS]
        majority = f"{runs[0]['majority_rate']:.3f}"
        lines.append(f"| {' | '.join([name, str(len(runs)), *cells, majority])} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


@in_one_line
def main() -> int:
    root = Path(__file__).resolve().parents[3]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="2D data set with a test split, as for configs/train_2d.json")
    parser.add_argument(
        "--output_dir", type=Path, required=True, help="one folder per run in it, table.md, results.json"
    )
    parser.add_argument(
        "--weights", type=Path, required=True, help="trained on volumes, and not on these images before that"
    )
    parser.add_argument("--images_weights", type=Path, help="trained on images: adds a row")
    parser.add_argument("--trainable", default="norms", help="norms (weak probing), all or head; default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--image_size", type=int, default=64, help="pixels; default: %(default)s")
    arguments = parser.parse_args()
    names = ("images", "trainable", "epochs", "image_size")
    common = {name: getattr(arguments, name) for name in names}
    common |= {"images": str(Path(arguments.images).resolve()), "bootstrap_samples": 100}
    reports: dict[str, list[dict[str, Any]]] = {}
    for name, options in starts(arguments.weights, arguments.images_weights).items():
        folder = arguments.output_dir.resolve() / name.replace(", ", "_").replace(" ", "_")
        reports[name] = []
        for seed in range(arguments.seeds):
            reports[name].append(run(root, folder / f"seed_{seed}", {**common, **options, "seed": seed}))
            print(f"{name}, seed {seed}: {reports[name][-1]['metrics']['auc']['value']:.3f}", flush=True)
    (arguments.output_dir / "table.md").write_text(table(reports) + "\n", encoding="utf-8")
    (arguments.output_dir / "results.json").write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    print(table(reports))
    return 0


if __name__ == "__main__":
    sys.exit(main())
