"""Options of the inference configs; each is a key there too, with the same default (a test compares them)."""

from __future__ import annotations

from dataclasses import replace

from crossd.options import shared
from crossd.options.option import Option, compared

OUTPUT_DIR = Option(
    "output_dir", "path", "$@bundle_root + '/eval'", "receives predictions, report, evidence/, journal/"
)
(BACKEND,) = compared(Option("backend", "text", "auto", "eager, torchscript, or auto (torchscript on a CPU)"))
READING = (
    *compared(
        Option("images", "path", None, "a volume file, DICOMDIR, folder (with all below) or CSV of cases"),
    ),
    replace(shared.SERIES, help="DICOM series by description (* and ?), modality, UID; null: no localizers"),
    shared.TILT,
    shared.VOLUME,
    *shared.CACHE,
    Option("num_workers", "integer", 0, "processes that read cases; 0: a thread reads one ahead"),
)
RUNNING = (
    Option("resume", "switch", False, "keep the answers in output_dir whose files are unchanged; false: replace"),
    Option("retry_failed", "switch", False, "try failed cases again when resuming"),
    Option("report", "switch", True, "write report.html"),
    Option("report_cases", "integer", 200, "cases with pictures in the report, the first ones"),
    Option("report_slices", "integer", 25, "slices along depth in the report, 1 to 101; half as many of the others"),
    Option(
        "report_names", "switch", True, "name cases after their files and folders in the report; false: number them"
    ),
    *compared(Option("amp", "switch", False, "mixed precision on a GPU")),
    shared.DEVICE,
)

INFERENCE = (
    *READING,
    *RUNNING,
    OUTPUT_DIR,
    Option("weights", "path", shared.BUNDLE_MODEL, "model with its card; default: the bundle's own"),
    *compared(
        Option(
            "covariates", "path", None, "table of what a probe's model takes beside images; null: images, if a table"
        ),
        Option("dicom_sr", "switch", False, "write a DICOM Structured Report per series (needs crossd[dicom])"),
        Option("evidence_class", "text", None, "class of the evidence maps; null: the finding, else the predicted"),
        Option(
            "evidence",
            "choice",
            "auto",
            "what the map shows; auto: windows, or gradient where they all say the same",
            choices=("auto", "windows", "gradient", "occlusion", "views"),
        ),
        Option("saliency", "choice", None, "gradcam: a Grad-CAM map per case too; null: none", choices=("gradcam",)),
        Option("saliency_layer", "text", None, "layer that Grad-CAM looks at; null: the last stage"),
        Option("skip_background", "switch", False, "leave out windows of background only"),
        shared.FLIPS,
    ),
    *(replace(option, compared=option.name != "sw_batch_size") for option in (*shared.WINDOWS, *shared.AGGREGATE)),
    BACKEND,
)

INFERENCE_SEGMENTATION = (
    *READING,
    *RUNNING,
    replace(OUTPUT_DIR, help="receives masks/, segmentations.csv, report.html, journal/"),
    Option("weights", "path", None, "a model trained with train_segmentation.json"),
    replace(shared.ROI_SIZE, default="$@card['input']['roi_size']", compared=True),
    *(replace(option, compared=option.name == "overlap") for option in shared.WINDOWS),
    replace(BACKEND, default="eager"),
)

INFERENCE_TRT = (
    *compared(
        Option(
            "precision",
            "choice",
            "fp32",
            "precision of TensorRT; all but fp32 are faster and round",
            choices=("fp32", "tf32", "fp16", "bf16"),
        ),
    ),
    Option(
        "plan",
        "path",
        "$@options.output_dir + '/tensorrt/model'",
        "folder and beginning of the name of the engine's file",
    ),
)
