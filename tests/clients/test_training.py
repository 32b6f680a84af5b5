"""Clients that train: MONAI Label by its datastore, NVFLARE's simulator with two sites for three rounds."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from crossd.checkpoints import read_card
from crossd.data.nifti import write_nifti
from crossd.data.phantoms import vessel_phantom

CLASSES = ("healthy", "aneurysm")

LABEL = """
import json, sys
from monailabel.datastore.local import LocalDatastore
from label_tasks import ClassifierTrainTask, infer_task
bundle, studies, output_dir, image = sys.argv[1:]
small = {"roi_size": [32, 32, 32], "batch_size": 4, "trainable": "head", "tensorboard": False}
task = ClassifierTrainTask(bundle, output_dir, **small)
assert task.is_valid()
store = LocalDatastore(studies)
for number in range(10):
    store.save_label(f"case{number}", f"{studies}/../labels/case{number}.json", "final", {})
request = {"model": "crossd", "device": "cpu", "max_epochs": 2, "val_split": 0.4}
def answer(model):
    _, said = infer_task(bundle)({"image": image, "device": "cpu", "model_filename": model})
    print("answer", json.dumps(said["prediction"]))
answer("model.pt")
task(request, store)
answer("model_fine_tuned.pt")
task.options["learning_rate"] = 1e-9  # what it starts from is then what it ends with
task({**request, "model_filename": "model_fine_tuned.pt"}, store)
answer("model_fine_tuned.pt")
"""


def test_label_trains(run, from_guide, own_bundle, found, tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    for number in range(10):
        write_nifti(tmp_path / "studies" / f"case{number}.nii.gz", vessel_phantom(number, bool(number % 2), size=28))
        scores = [{"idx": 0, "score": 1.0 - number % 2}, {"idx": 1, "score": float(number % 2)}]
        (labels / f"case{number}.json").write_text(json.dumps({"prediction": scores}))
    (tmp_path / "label_tasks.py").write_text(from_guide("label_tasks.py", "deploy.md"))
    (tmp_path / "train.py").write_text(LABEL)
    shipped = own_bundle / "models" / "model.pt"
    before = hashlib.sha256(shipped.read_bytes()).hexdigest()
    image = tmp_path / "studies" / "case1.nii.gz"
    said = run("label", tmp_path, "train.py", own_bundle, tmp_path / "studies", tmp_path / "out", image)
    answers = [json.loads(line[7:])[1]["score"] for line in said.splitlines() if line.startswith("answer ")]
    assert hashlib.sha256(shipped.read_bytes()).hexdigest() == before
    assert read_card(own_bundle / "models" / "model_fine_tuned.pt")["class_names"] == list(CLASSES)
    assert abs(answers[1] - answers[0]) > 1e-4
    assert answers[2] == pytest.approx(answers[1], abs=1e-5)
    found.sentences.append(
        "MONAI Label: `BundleTrainTask` trains twice from a `LocalDatastore`, the second time from the first one's "
        "model, and `BundleInferTask` answers with it; `model.pt` of the bundle stays as it is."
    )


def test_nvflare_averages_two_sites(run, from_guide, bundle, found, tmp_path):
    for site, cases in (("north", 14), ("south", 8)):  # of different sizes, so that weights in the average differ
        rows = ["image,label,split"]
        for number in range(cases):
            name = f"{number}.nii.gz"
            write_nifti(
                tmp_path / "data" / site / name, vessel_phantom(cases * 100 + number, bool(number % 2), size=28)
            )
            rows.append(f"{name},{CLASSES[number % 2]},{'val' if number < 4 else 'train'}")
        (tmp_path / "data" / site / "labels.csv").write_text("\n".join(rows) + "\n")
    for script in ("federated_client.py", "federated_job.py"):
        (tmp_path / script).write_text(from_guide(script, "federated.md"))
    out = tmp_path / "out"
    run("nvflare", tmp_path, "federated_job.py", bundle, tmp_path / "data", out, installed=True)

    (file,) = out.glob("workspace/crossd/server/simulate_job/app_server/FL_global_model.pt")
    server = torch.load(file, weights_only=True)["model"]
    start = torch.load(bundle / "models" / "model.pt", weights_only=True)
    assert sorted(path.name for path in out.glob("north/round_*.pt")) == [f"round_{number}.pt" for number in range(3)]
    answers = [torch.load(out / site / "round_2.pt", weights_only=True) for site in ("north", "south")]
    steps = [float(answer["steps"]) for answer in answers]
    assert steps == [3.0, 1.0]
    shares = [step / sum(steps) for step in steps]
    floating = [name for name, value in start.items() if value.is_floating_point()]
    average = {name: sum(s * a["weights"][name] for s, a in zip(shares, answers, strict=True)) for name in floating}
    from_average = max(float((torch.as_tensor(server[name]) - average[name]).abs().max()) for name in floating)
    from_equal = max(
        float((torch.as_tensor(server[name]) - sum(a["weights"][name] for a in answers) / 2).abs().max())
        for name in floating
    )
    moved = max(float((torch.as_tensor(server[name]) - start[name]).abs().max()) for name in floating)
    assert from_average < 1e-5 < from_equal, "the server's weights are the sites' average by their steps"
    assert moved > 1e-3
    assert (out / "job" / "crossd" / "meta.json").is_file()
    found.sentences.append(
        "NVFLARE's simulator, two sites, three rounds of FedAvg: the server's weights, batch-norm statistics included, "
        f"moved by up to {moved:.2g} and are the sites' average, weighted by their {steps[0]:.0f} and {steps[1]:.0f} "
        f"steps, to {from_average:.0e}."
    )


@pytest.mark.parametrize("page", ["deploy", "federated"])
def test_the_guide_says_what_is_run(page, root):
    text = (root / "docs" / "guide" / f"{page}.md").read_text(encoding="utf-8")
    assert text.count("<!-- not run: make test-clients does -->\n```python") == 2
