"""Export a checkpoint: made in a hidden folder, compared with PyTorch, and only then moved to its place."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crossd.bundle import bundle_root
from crossd.errors import CrossDError, one_of
from crossd.export.onnx_file import check_name, run_onnx, run_openvino, write_onnx, write_openvino, write_triton
from crossd.export.torchscript import run_torchscript, write_torchscript
from crossd.export.trained import Forward, Trained, differences_of_batches


@dataclass(frozen=True)
class Format:
    """How a network becomes files, and files become a forward pass.

    Attributes:
        path: of what is written, a file or a folder, below the output folder.
        write: writes it there; more files may lie beside it.
        run: its forward pass.
        packages: what that needs beyond crossd's own requirements.
    """

    path: str
    write: Callable[[Trained, Path], None]
    run: Callable[[Path], Forward]
    packages: tuple[str, ...] = ()


FORMATS = {
    "torchscript": Format("model.ts", write_torchscript, run_torchscript),
    "onnx": Format("model.onnx", write_onnx, run_onnx, ("onnx", "onnxruntime")),
    "openvino": Format("model.xml", write_openvino, run_openvino, ("onnx", "openvino")),
    "triton": Format(
        "crossd_classifier", write_triton, lambda path: run_onnx(path / "1" / "model.onnx"), ("onnx", "onnxruntime")
    ),
}


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        files: all of them, the main one first.
        differences: of each batch that was compared its shape and the largest difference of logits.
    """

    files: list[Path]
    differences: list[tuple[tuple[int, ...], float]]


def export_network(
    weights: str | os.PathLike[str],
    to: str,
    output_dir: str | os.PathLike[str],
    *,
    name: str | None = None,
    bundle: str | os.PathLike[str] | None = None,
) -> Export:
    """Write the folded network of a checkpoint for another runtime: any batch size, and volume size.

    A `MultiView` takes volumes of its window's size only.

    The export is loaded by its runtime and compared with the network in PyTorch at several sizes before anything
    appears in `output_dir`; files of an earlier export stay as they are until then.

    Args:
        weights: a checkpoint with its card, or a bundle's `models/model.pt`.
        to: "torchscript" (`model.ts`), "onnx" (`model.onnx`), "openvino" (`model.xml`, `model.bin`) or "triton" (a
            model repository with one model).
        output_dir: receives the files.
        name: of Triton's model.
        bundle: root of the bundle whose configs a TorchScript file carries; by default the one that is found.

    Raises:
        CrossDError: for an unknown format or a missing package, a checkpoint that cannot be exported, and an export
            that does not give the network's logits to 1e-4; for a folder in its place that is no export.
    """
    format = FORMATS[one_of("to", to, FORMATS)]
    missing = [package for package in format.packages if importlib.util.find_spec(package) is None]
    if missing:
        raise CrossDError(
            f"Exporting to {to} needs packages that crossd does not install by itself, got no "
            f"{' and no '.join(missing)}: pip install 'crossd[export]', or export to torchscript."
        )
    output_dir = Path(output_dir)
    main = Path(check_name(name) if name is not None and to == "triton" else format.path)
    _check_replaceable(output_dir / main)
    trained = Trained.read(Path(weights), Path(bundle or bundle_root()))
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output_dir, prefix=".exporting-") as unfinished:
            format.write(trained, Path(unfinished) / main)
            found = differences_of_batches(
                trained.original, format.run(Path(unfinished) / main), trained.examples, to, trained.unit
            )
            made = sorted(Path(unfinished).iterdir(), key=lambda path: path.name != main.name)
            for path in made:
                if (output_dir / path.name).is_dir():
                    shutil.rmtree(output_dir / path.name)
                os.replace(path, output_dir / path.name)
    except OSError as error:
        raise CrossDError(
            f"An export needs a folder that can be written; {output_dir} cannot be: {error}. Choose another."
        ) from error
    files = [file for path in made for file in _files(output_dir / path.name)]
    return Export(files, found)


def _check_replaceable(target: Path) -> None:
    """Nothing is deleted but an earlier export."""
    if target.is_dir() and not (target / "config.pbtxt").is_file() and any(target.iterdir()):
        raise CrossDError(
            f"An export replaces an earlier one only; {target} is a folder that holds something else. Choose another "
            "name or output folder."
        )


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
