"""The whole run from a folder of scans to the last file, a process for each contestant, and its parts on their own.

python -m scripts.benchmarks.speed.whole_run --images scans/ct_chest

One DICOM series is timed against its parts alone; without --images, NIfTI cases against a config in the zoo's style.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import torch
from crossd.checkpoints import load_pretrained, read_card
from crossd.data import find_cases, preprocessing
from crossd.data.nifti import write_nifti
from crossd.data.phantoms import vessel_phantom
from crossd.data.resampling import SeparableSpacingd
from crossd.errors import CrossDError, in_one_line
from crossd.inference import Accelerated, network_from_card
from monai.bundle import ConfigWorkflow
from monai.data import MetaTensor
from monai.data.utils import dense_patch_slices
from monai.transforms import Spacingd

from scripts.benchmarks.speed.stages import run_by_stages

ROOT = Path(__file__).resolve().parents[3]
OURS = str(ROOT / "configs" / "inference.json")
ZOO_STYLE = Path(__file__).with_name("zoo_style.json")
FOLDED = {
    "handlers#0": {
        **{"_target_": "crossd.inference.LoadWeights", "path": "@weights", "network": "@network", "backend": "eager"}
    }
}
"""Options of `run_config` by which the zoo's style gets a network whose kernels are fixed, otherwise eager."""
T = TypeVar("T")

# In the child the imports come first and are timed: what everybody pays, and what this project adds.
_CHILD = """
import json, sys, time
start = time.perf_counter()
import torch, monai, itk
stack = time.perf_counter()
import crossd
own = time.perf_counter()
task, options, threads = json.loads(sys.argv[1])
torch.set_num_threads(threads)
from scripts.benchmarks.speed import whole_run
imports = {"import torch, monai, itk": stack - start, "import crossd": own - stack}
print("RESULT" + json.dumps({**imports, **getattr(whole_run, task)(**options)}))
"""


def in_a_process(task: str, threads: int = 2, **options: Any) -> dict[str, float]:
    """Call a function of this module by name in a fresh process, and time the process as a whole.

    Returns:
        Seconds by what they were spent on, "process" for all of it; "peak GB" is the largest resident set.

    Raises:
        CrossDError: when the process fails.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # from any folder
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
    start = time.perf_counter()
    arguments = [sys.executable, "-c", _CHILD, json.dumps([task, options, threads])]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - start
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if done.returncode or not found:
        raise CrossDError(f"A contestant must finish: {task} of {options} ended with {done.stderr[-800:]}. Correct it.")
    return {**json.loads(found[-1].removeprefix("RESULT")), "process": elapsed}


def run_config(config: str, stages: bool = False, **options: Any) -> dict[str, float]:
    """Configure and run a bundle config, as `python -m monai.bundle run` does; `stages`: say where the time goes."""

    def configure() -> ConfigWorkflow:
        made = ConfigWorkflow(config, workflow_type="inference", logging_file=False, **options)
        made.initialize()
        made.parser.get_parsed_content("evaluator")  # otherwise done in run()
        return made

    workflow, configured = _timed(configure)
    ran = run_by_stages(workflow) if stages else {"run": _timed(workflow.run)[1]}
    return {"configuration": configured, **ran, "peak GB": _peak()}


def parts_alone(images: str, weights: str, overlap: float = 0.5, sw_batch_size: int = 4) -> dict[str, float]:
    """What no run on a DICOM series can do without: read it by ITK, resample it once, pass all windows to the network.

    What happens once in a process is apart: loading ITK's modules, and preparing the backend with the first batch.
    """
    import itk

    (case,) = find_cases(images)
    (series,) = case["image"]
    card = read_card(weights)
    reader, loaded = _timed(lambda: itk.ImageSeriesReader[itk.Image[itk.F, 3]])
    _, loaded_too = _timed(lambda: itk.GDCMImageIO.New())

    def read() -> Any:
        image = reader.New(FileNames=list(series.files))
        image.SetImageIO(itk.GDCMImageIO.New())
        image.Update()
        return itk.array_from_image(image.GetOutput())

    _, reading = _timed(read)
    item: Any = {"image": case["image"]}
    resampling = resampling_by_monai = 0.0
    for step in preprocessing(card["input"]).transforms:
        if isinstance(step, SeparableSpacingd):
            _, resampling_by_monai = _timed(Spacingd("image", card["input"]["spacing"]), item)
            item, resampling = _timed(step, item)
        else:
            item = step(item)
    preparing, computing, windows = _network_alone(card, weights, item["image"], overlap, sw_batch_size)
    return {
        "load ITK": loaded + loaded_too,
        "prepare network": preparing,
        "read": reading,
        "resample": resampling,
        "resample by MONAI": resampling_by_monai,
        "network": computing,
        "windows": windows,
        "peak GB": _peak(),
    }


def _network_alone(
    card: dict[str, Any], weights: str, image: MetaTensor, overlap: float, sw_batch_size: int
) -> tuple[float, float, int]:
    plain = network_from_card(card)
    load_pretrained(plain, weights, strict_head=True)
    network, volume, size = Accelerated(plain), image.as_tensor()[None], card["input"]["roi_size"]
    boxes = dense_patch_slices(image.shape[1:], size, [int(extent * (1 - overlap)) for extent in size])
    batches = [boxes[first : first + sw_batch_size] for first in range(0, len(boxes), sw_batch_size)]
    total = preparing = 0.0
    with torch.no_grad():
        for index, part in enumerate(batches):
            batch = torch.cat([volume[(slice(None), slice(None), *box)] for box in part])
            if index == 0:
                preparing = sum(_timed(network, batch)[1] for _ in range(3))
            _, seconds = _timed(network, batch)
            total += seconds
    return preparing, total, len(boxes)


def make_cases(folder: str | Path, count: int, size: int, spacing: float) -> Path:
    """Write phantoms of `size`³ voxels that are `spacing` mm apart as NIfTI; the same every time."""
    for seed in range(count):
        phantom = vessel_phantom(seed, aneurysm=bool(seed % 2), size=size)
        write_nifti(Path(folder) / f"case_{seed:03d}.nii.gz", phantom, spacing=(spacing,) * 3)
    return Path(folder)


def describe(name: str, turns: Sequence[dict[str, float]]) -> str:
    """A line with the median of each figure over the turns.

    >>> describe("bundle", [{"run": 2.0}, {"run": 4.0}, {"run": 3.0}])
    'bundle: run 3.00'
    """
    return f"{name}: " + ", ".join(f"{key} {median(turn[key] for turn in turns):.2f}" for key in turns[0])


def ratio(name: str, above: Sequence[float], below: Sequence[float]) -> str:
    """A line with the median of the ratios per turn, and their range.

    >>> ratio("a / b", [1.0, 3.0, 2.0], [1.0, 1.0, 1.0])
    'a / b: 2.000, of 1.000 to 3.000'
    """
    values = [one / other for one, other in zip(above, below, strict=True)]
    return f"{name}: {median(values):.3f}, of {min(values):.3f} to {max(values):.3f}"


def _timed(function: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", help="a folder with one DICOM series; without it phantoms are made")
    parser.add_argument("--cases", type=int, default=50, help="phantoms; default: %(default)s")
    parser.add_argument("--size", type=int, default=71, help="voxels of a phantom's side; default: %(default)s")
    parser.add_argument("--spacing", type=float, default=0.9, help="mm between its voxels; default: %(default)s")
    parser.add_argument("--weights", default=str(ROOT / "models" / "model.pt"), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant; default: %(default)s")
    parser.add_argument("--folded", action="store_true", help="the zoo style's kernels are fixed once, as the bundle's")
    parser.add_argument("--no_report", action="store_true", help="the bundle writes no report.html, as the zoo style")
    parser.add_argument("--stages", action="store_true", help="say where the bundle's time goes")
    parser.add_argument("--threads", type=int, default=2, help="of torch; default: %(default)s")
    arguments = parser.parse_args()
    turns, alone = [], arguments.images is not None
    with tempfile.TemporaryDirectory() as folder:
        images = arguments.images or make_cases(f"{folder}/in", arguments.cases, arguments.size, arguments.spacing)
        shared = {"images": str(images), "weights": arguments.weights}
        bundle: dict = {"config": OURS, "output_dir": f"{folder}/ours", "stages": arguments.stages, **shared}
        bundle |= {"evidence": "windows"}  # the zoo style, and the parts, look at nothing twice
        bundle |= {"report": False} if arguments.no_report else {}
        folded = FOLDED if arguments.folded else {}
        zoo: dict = {"config": str(ZOO_STYLE), "output_dir": f"{folder}/zoo", **shared, **folded}
        task, options = ("parts_alone", shared) if alone else ("run_config", zoo)
        for _ in range(arguments.rounds):
            ours = in_a_process("run_config", arguments.threads, **bundle)
            turns.append((ours, in_a_process(task, arguments.threads, **options)))
    runs, others = zip(*turns, strict=True)
    print(describe("bundle", runs), describe("parts alone" if alone else "zoo style", others), sep="\n")
    if alone:
        parts = [turn["read"] + turn["resample"] + turn["network"] for turn in others]
        print(ratio("bundle's run / (read + resample + network)", [turn["run"] for turn in runs], parts))
    for key in () if alone else ("process", "run"):
        print(ratio(f"{key}: zoo style / bundle", [turn[key] for turn in others], [turn[key] for turn in runs]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
