"""TensorRT by MONAI's `trt_compile`: what `configs/inference_trt.json` puts in the place of `LoadWeights`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from monai.engines import SupervisedEvaluator
from monai.networks import trt_compile
from torch import nn

from crossd.conv import fold
from crossd.data.content import digest
from crossd.errors import CrossDError, one_of
from crossd.inference import LoadWeights

PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
_PACKAGES = ("tensorrt", "polygraphy", "onnx")


class LoadTensorRT(LoadWeights):
    """Handler that loads a checkpoint, head included, folds the network and lets MONAI compile it for TensorRT.

    The engine is built in the first batch, which takes minutes, and kept as `PLAN-<weights>-<precision>-<batch>.plan`,
    so that none is taken for another: a file for this GPU and this version of TensorRT.

    Args:
        path: a checkpoint that fits the network whole.
        network: the evaluator's network, on a GPU.
        plan: where the engine is kept: folder, and how the file's name begins.
        sw_batch_size: the largest batch; smaller ones run too.
        precision: of TensorRT, one of "fp32", "tf32", "fp16" and "bf16"; the last three round.

    Raises:
        CrossDError: for an unknown precision; at the start of the run, without a GPU or a package that is needed,
            where `trt_compile` would run PyTorch after a warning, and with `amp`.
    """

    def __init__(
        self, path: str, network: nn.Module, plan: str, sw_batch_size: int = 4, precision: str = "fp32"
    ) -> None:
        super().__init__(path, network, backend=f"tensorrt {one_of('precision', precision, PRECISIONS)}")
        self.plan = plan
        self.sw_batch_size = sw_batch_size
        self.precision = precision

    def __call__(self, engine: SupervisedEvaluator) -> None:
        """Load, and give the evaluator the compiled network."""
        check_tensorrt()
        if engine.amp:
            raise CrossDError(
                "TensorRT has a precision of its own, got amp too: leave out --amp true, and choose --precision fp16."
            )
        self.load()
        plain = fold(self.network).eval()
        which = f"{digest(self.path)[:12]}-{self.precision}-{self.sw_batch_size}"  # MONAI looks at times only
        plan = Path(f"{self.plan}-{which}").absolute()
        try:
            plan.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CrossDError(f"A TensorRT engine is kept in a file; {plan.parent} cannot be made: {error}.") from error
        arguments = {
            "precision": self.precision,
            "dynamic_batchsize": [1, self.sw_batch_size, self.sw_batch_size],
            "timestamp": int(Path(self.path).stat().st_mtime),
        }
        engine.network = trt_compile(plain, str(plan), args=arguments)


def check_tensorrt() -> None:
    """Say what TensorRT lacks here.

    Raises:
        CrossDError: naming the GPU, or the packages, that are not there.
    """
    lacks = [f"no package {package}" for package in _PACKAGES if importlib.util.find_spec(package) is None]
    if not torch.cuda.is_available():
        lacks.insert(0, "no GPU that PyTorch can use")
    if lacks:
        raise CrossDError(
            f"TensorRT needs an NVIDIA GPU and the packages {', '.join(_PACKAGES)}; here is {', '.join(lacks)}. "
            "Install them, or leave out configs/inference_trt.json."
        )
