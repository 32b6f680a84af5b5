"""The page of a training: it grows while the run lasts, and says early what is wrong with it."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import torch
from crossd.report import TrainingPage
from crossd.report.learning_curves import SOON, losses, read_epochs, remarks, values
from crossd.report.line_chart import svg_of
from ignite.engine import Engine, Events

NAN = math.nan


def trained(folder, aucs, first=1, epochs=None, classes=("well", "<ill>")):
    """Train nothing for epochs whose validations are made up; the pages, one after each of them."""
    evaluator = SimpleNamespace(state=SimpleNamespace(epoch=0, metrics={}))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    engine = Engine(lambda _, batch: [{"loss": batch / engine.state.epoch}])
    page = TrainingPage(str(folder), evaluator, optimizer, about={"classes": classes})
    pages = []

    @engine.on(Events.EPOCH_COMPLETED)
    def validate(engine):
        auc = aucs[engine.state.epoch - 1]
        if auc is not None:
            metrics = {"val_auc": auc, "val_loss": 0.5}
            evaluator.state = SimpleNamespace(epoch=engine.state.epoch, metrics=metrics)

    page.attach(engine)
    read = lambda _: pages.append((folder / "training.html").read_text(encoding="utf-8"))  # noqa: E731
    engine.add_event_handler(Events.EPOCH_STARTED, read)
    engine.add_event_handler(Events.EPOCH_COMPLETED, read)
    engine.add_event_handler(Events.COMPLETED, read)
    count = epochs or len(aucs)
    engine.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "epoch", first - 1))  # as on resuming
    engine.run([torch.tensor(1.0)], epoch_length=1, max_epochs=count)
    return pages


def said(page):
    (verdict,) = re.findall("<h1>(.*?)</h1>", page)
    return verdict


def test_it_grows_and_is_read_again_until_training_has_ended(tmp_path):
    pages = trained(tmp_path, [0.7, 0.9, None, 0.8])
    assert said(pages[0]) == "Epoch 1 of 4 is being trained."
    assert re.fullmatch(
        r"Epoch 1 of 4 is done, about .* seconds are left\. The best so far is epoch 1, AUROC 0\.700\.", said(pages[1])
    )
    assert "The best so far is epoch 2, AUROC 0.900." in said(pages[3])
    assert pages[4] == pages[5] == pages[3]  # the third epoch has no validation
    assert said(pages[-1]) == "Training has ended after 4 of 4 epochs. The best, model.pt, is epoch 2, AUROC 0.900."
    refreshed = ['http-equiv="refresh" content="5"' in page for page in pages]
    assert refreshed == [True] * (len(pages) - 1) + [False]
    assert pages[-1].count("data:image/svg+xml") == 3
    assert "Training of well or &lt;ill&gt;" in pages[-1]
    assert "<ill>" not in pages[-1]
    assert [row["epoch"] for row in read_epochs(tmp_path / "metrics.csv")] == [1, 2, 4]
    assert not list(tmp_path.glob(".*"))


def test_a_resumed_run_keeps_what_was_and_a_new_one_does_not(tmp_path):
    trained(tmp_path, [0.7, 0.9])
    resumed = trained(tmp_path, [0.7, 0.9, 0.6, 0.95], first=3)
    assert said(resumed[0]) == "Epoch 3 of 4 is being trained. The best so far is epoch 2, AUROC 0.900."
    assert "epoch 4, AUROC 0.950" in said(resumed[-1])
    finished = trained(tmp_path, [0.7, 0.9, 0.6, 0.95], first=5)
    assert [said(page) for page in finished] == [said(resumed[-1])]  # nothing is trained
    again = trained(tmp_path, [0.6, 0.5])
    assert said(again[0]) == "Epoch 1 of 2 is being trained."
    assert "epoch 1, AUROC 0.600" in said(again[-1])


def test_an_auc_that_is_not_defined(tmp_path):
    assert "The best, model.pt, is epoch 1, validation loss 0.500." in said(trained(tmp_path, [NAN, NAN])[-1])


def epochs(training, validation=None, aucs=None):
    count = len(training)
    columns = zip(training, validation or training, aucs or [0.8] * count, strict=True)
    return [
        {"epoch": number, "train_loss": loss, "val_loss": of_validation, "val_auc": auc}
        for number, (loss, of_validation, auc) in enumerate(columns, 1)
    ]


FALLING = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], []),
        (epochs(FALLING), []),
        (epochs([0.7]), []),
        (epochs([0.7], aucs=[0.48]), [r"at chance so far \(AUROC 0\.48 at best\).*Wait for 5 validations"]),
        (epochs(FALLING, aucs=[0.5, 0.54] * 4), [r"After 8 validations the best AUROC is 0\.54.*`crossd probe`"]),
        (epochs(FALLING, aucs=[NAN] * 8), []),
        (epochs(FALLING, aucs=[NAN, 0.5] * 4), ["which is chance"]),
        (epochs([0.69] * SOON), [r"does not fall: 0\.690 in epoch 1, 0\.690 in epoch 5\..*--learning_rate"]),
        (epochs([0.69] * (SOON - 1)), []),
        (epochs([0.01] * SOON, aucs=[1.0] * SOON), []),
        (epochs([0.7, NAN]), [r"loss of epoch 2 is not a number.*a tenth of the --learning_rate, and without --amp"]),
        (
            epochs(FALLING, [0.5, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], [0.8, 0.9, *[0.85] * 6]),
            [r"No epoch since 2 was better.*learns its cases by heart.*--patience"],
        ),
    ],
)
def test_what_is_said_of_epochs(rows, told):
    found = remarks(rows, "val_auc", 0.5)
    assert len(found) == len(told)
    assert all(re.search(pattern, line) for pattern, line in zip(told, found, strict=True)), found


def test_curves_of_two_runs_in_one_picture():
    one, two = epochs(FALLING), epochs([0.9, NAN, 0.7])
    both = {"first": one, "<second>": two}
    svg = svg_of(losses(both), values(both, "val_auc", "AUROC", chance=0.5))
    tree = ElementTree.fromstring(svg)
    lines = tree.findall(".//{*}polyline")
    assert [len(line.get("points").split()) for line in lines] == [8, 8, 2, 2, 8, 3, 2]
    assert len({line.get("stroke") for line in lines}) == 3  # a run each, and chance
    places = [float(number) for line in lines for number in re.findall(r"[\d.]+", line.get("points"))]
    assert all(0 <= place <= 440 for place in places)


def test_a_picture_of_one_point_and_of_none():
    assert "<circle" in svg_of(values({"": epochs([0.5])}, "val_auc", "AUROC"))
    assert "<circle" not in svg_of(values({"": epochs([0.5], aucs=[NAN])}, "val_auc", "AUROC"))
