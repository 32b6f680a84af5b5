"""Options of the inference configs; each is a key there too, with the same default (a test compares them)."""

from __future__ import annotations

from dataclasses import replace

from crossd.options.option import Option
from crossd.options.shared import AGGREGATE, BUNDLE_MODEL, CACHE, DEVICE, TILT, VOLUME, WINDOWS, series

IMAGES = Option(
    "images",
    "path",
    None,
    "a NIfTI, NRRD, MetaImage or DICOM file, a DICOMDIR, a folder (searched with all below it), or a CSV of cases",
    compared=True,
)
SERIES = series(
    "which DICOM series are meant, by description (* and ? as in file names), modality or UID; one or a list; null: "
    "all but localizers",
)
RESUME = (
    Option(
        "resume",
        "switch",
        False,
        "true: keep the answers in output_dir of cases whose files are as they were (settings and model must be the "
        "same); false: replace them",
    ),
    Option("retry_failed", "switch", False, "whether a resumed run tries cases again that failed"),
)
NUM_WORKERS = Option("num_workers", "integer", 0, "processes that read cases; 0: a thread reads one ahead")
AMP = Option("amp", "switch", False, "mixed precision on a GPU", compared=True)
REPORT = (
    Option("report", "switch", True, "whether report.html is written"),
    Option("report_cases", "integer", 200, "cases with pictures in it, the first that are read; 0.1 to 0.4 MB each"),
    Option("report_slices", "integer", 25, "slices of the first plane in it, 1 to 101; half as many of the other two"),
    Option(
        "report_names",
        "switch",
        True,
        "whether it calls cases by their names, which come from files and folders, or by numbers",
    ),
)
COMPARED_WINDOWS = tuple(replace(option, compared=option.name != "sw_batch_size") for option in (*WINDOWS, *AGGREGATE))

INFERENCE = (
    IMAGES,
    Option(
        "output_dir",
        "path",
        "$@bundle_root + '/eval'",
        "receives predictions.csv, predictions.json, report.html, evidence/, and journal/ to resume from",
    ),
    *RESUME,
    Option("weights", "path", BUNDLE_MODEL, "the model with its card; default: the bundle's own"),
    SERIES,
    TILT,
    VOLUME,
    *CACHE,
    Option(
        "dicom_sr",
        "switch",
        False,
        "true: write a DICOM Structured Report per DICOM series into structured_reports/ (needs crossd[dicom])",
        compared=True,
    ),
    Option(
        "evidence_class",
        "text",
        None,
        "class that the evidence maps show; null: the finding, or the predicted class where there are several",
        compared=True,
    ),
    *REPORT,
    Option(
        "saliency",
        "choice",
        None,
        "gradcam: a Grad-CAM map of every case too, in saliency/; 64³ voxels take three times as long on a CPU core; "
        "null: none",
        compared=True,
        choices=("gradcam",),
    ),
    Option("saliency_layer", "text", "layer4", "the layer it looks at", compared=True),
    *COMPARED_WINDOWS,
    Option("skip_background", "switch", False, "whether windows of background only are left out", compared=True),
    NUM_WORKERS,
    AMP,
    Option("backend", "text", "auto", "auto (torchscript on a CPU), eager or torchscript", compared=True),
    DEVICE,
)

INFERENCE_SEGMENTATION = (
    IMAGES,
    Option(
        "output_dir",
        "path",
        "$@bundle_root + '/eval'",
        "receives masks/<case>.nii.gz, in the input's own space, and segmentations.csv with the volume of each class",
    ),
    *RESUME,
    Option("weights", "path", None, "a model trained with train_segmentation.json"),
    SERIES,
    TILT,
    VOLUME,
    *CACHE,
    *REPORT,
    Option(
        "roi_size",
        "integers",
        "$@card['input']['roi_size']",
        "voxels of the window along depth, height, width; default: that of training",
        compared=True,
    ),
    *(replace(option, compared=option.name == "overlap") for option in WINDOWS),
    NUM_WORKERS,
    AMP,
    Option(
        "backend",
        "text",
        "eager",
        "eager; or auto or torchscript, for networks that can be traced (CrossDUNet runs eager)",
        compared=True,
    ),
    DEVICE,
)

INFERENCE_TRT = (
    Option(
        "precision",
        "choice",
        "fp32",
        "of TensorRT: fp32, or tf32, fp16 and bf16, which are faster and round",
        compared=True,
        choices=("fp32", "tf32", "fp16", "bf16"),
    ),
    Option(
        "plan",
        "path",
        "$@output_dir + '/tensorrt/model'",
        "folder and beginning of the name of the engine's file, which says model, precision and batch too; building "
        "it takes minutes, and it fits this GPU only",
    ),
)
