"""A trained network for other runtimes: TorchScript, ONNX, OpenVINO, a Triton model repository, TensorRT."""

from crossd.export.exporting import FORMATS, export_network
from crossd.export.onnx_file import config_pbtxt
from crossd.export.tensorrt import LoadTensorRT
from crossd.export.trained import Trained
