"""A trained network for other runtimes: TorchScript, ONNX, OpenVINO, a Triton model repository, TensorRT."""

from crossd.export.exporting import FORMATS, Export, export_network
from crossd.export.tensorrt import LoadTensorRT
from crossd.export.trained import TOLERANCE, Trained, differences
from crossd.export.triton import config_pbtxt

__all__ = [
    "FORMATS",
    "TOLERANCE",
    "Export",
    "LoadTensorRT",
    "Trained",
    "config_pbtxt",
    "differences",
    "export_network",
]
