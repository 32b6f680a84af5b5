"""The parts of the 2D recipe: learning rate, mixup, moving average, metrics and what is written of them."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from crossd.cards.from_weights import FROM_SCRATCH
from crossd.checkpoints import read_card
from crossd.errors import CrossDError
from crossd.training import (
    EpochTable,
    PrepareImages,
    TrainingProgress,
    WeightAverage,
    averaged_copy,
    epoch_schedule,
    image_metrics,
    model_card,
)
from crossd.training.image_metrics import table_one
from crossd.training.pretrained import contradictions
from ignite.engine import Engine, Events
from monai.optimizers import WarmupCosineSchedule
from torch import nn


def rates(epochs, **options):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule = epoch_schedule(optimizer, epochs, **options)
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_papers_schedule():
    assert rates(90, schedule="step") == pytest.approx([1e-3] * 30 + [1e-4] * 30 + [1e-5] * 30)


def test_warm_up_and_cosine():
    found = rates(10, schedule="cosine", warmup_epochs=3)
    assert found[:3] == pytest.approx([2.5e-4, 5e-4, 7.5e-4])
    assert found[3:] == pytest.approx([5e-4 * (1 + math.cos(math.pi * k / 7)) for k in range(7)])


def test_the_warm_up_of_fine_tuning_is_monais():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)
    for epochs, warmup in ((10, 3), (5, 0), (2, 2), (1, 2), (2, 5)):
        theirs = WarmupCosineSchedule(optimizer, warmup, epochs, warmup_multiplier=0.1)
        ours = epoch_schedule(optimizer, epochs, warmup_epochs=warmup, warmup_from=0.1)
        assert [ours.lr_lambdas[0](n) for n in range(epochs)] == [theirs.lr_lambda(n) for n in range(epochs)]


def test_a_run_that_is_shorter_than_its_warm_up_ends_while_it_rises():
    assert rates(2, warmup_epochs=4) == pytest.approx([1e-3 / 3, 2e-3 / 3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "steps"}, r"`schedule` must be one of 'cosine', 'step'; got 'steps'. Did you mean 'step'"),
        ({"warmup_epochs": -1}, r"A warm-up has no epochs or more.*got a warm-up of -1"),
        ({"step_epochs": 0}, r"steps of 0"),
    ],
)
def test_schedules_that_are_refused(options, message):
    with pytest.raises(CrossDError, match=message):
        rates(4, **options)


BATCH = {
    "image": torch.arange(8, dtype=torch.float32).reshape(4, 2, 1, 1).expand(4, 2, 3, 3) * 30,
    "label": torch.tensor([0, 1, 2, 0]),
}


def test_images_are_normalised_on_the_scale_of_the_card():
    images, labels = PrepareImages(3, mean=[0.5, 0.25], std=[0.5, 0.1])(BATCH)
    expected = (BATCH["image"] / 255 - torch.tensor([0.5, 0.25])[:, None, None]) / torch.tensor([0.5, 0.1])[
        :, None, None
    ]
    torch.testing.assert_close(images, expected)
    assert labels is BATCH["label"]


def test_mixup_mixes_images_and_labels_alike():
    plain, _ = PrepareImages(3)(BATCH)
    one_hot = nn.functional.one_hot(BATCH["label"], 3).float()
    torch.manual_seed(0)
    images, weights = PrepareImages(3, mixup=1.0)(BATCH)
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    for image, weight in zip(images, weights, strict=True):
        found = [
            float((image - (share * plain[i] + (1 - share) * plain[j])).abs().max())
            for i in range(4)
            for j in range(4)
            for share in np.linspace(0, 1, 201)
            if torch.allclose(weight, float(share) * one_hot[i] + (1 - float(share)) * one_hot[j], atol=5e-3)
        ]
        assert min(found) < 5e-3  # some pair and share explain both
    torch.manual_seed(0)
    again, _ = PrepareImages(3, mixup=1.0)(BATCH)
    other, _ = PrepareImages(3, mixup=1.0)(BATCH)
    assert torch.equal(images, again)
    assert not torch.equal(images, other)
    torch.manual_seed(0)
    assert not torch.equal(PrepareImages(3, mixup=1.0, rank=1)(BATCH)[0], images)
    with pytest.raises(CrossDError, match=r"mixup is the alpha of a Beta distribution, above 0.* got -1"):
        PrepareImages(3, mixup=-1)


def test_the_moving_average():
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    model = averaged_copy(network, 0.5)
    average = WeightAverage(network, model, 0.5)
    engine = Engine(lambda *_: None)
    average.attach(engine)
    nn.init.ones_(network[0].weight)  # as if weights were loaded after the handler was made
    values = iter([2.0, 4.0, 8.0])

    def step(*_):
        nn.init.constant_(network[0].weight, next(values))
        network[1].running_mean.add_(1)

    engine._process_function = step
    engine.run([0, 0, 0])
    seen = 1.0
    for number, value in enumerate([2.0, 4.0, 8.0], 1):
        decay = min(0.5, (1 + number) / (10 + number))
        seen = decay * seen + (1 - decay) * value
    assert float(model[0].weight) == pytest.approx(seen)
    assert float(model[1].running_mean) == 3
    assert not model.training
    assert not model[0].weight.requires_grad
    with pytest.raises(CrossDError, match=r"ema is the decay of an average, between 0 and 1, or null; got 1"):
        averaged_copy(network, 1)


def test_table_one_against_a_count_by_hand():
    true = [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]
    told = [0, 0, 0, 1, 1, 1, 0, 1, 1, 1]
    confusion = torch.zeros(4, 4)  # the fourth class is not there and never told, the third is never told
    for t, p in zip(true, told, strict=True):
        confusion[t, p] += 1
    values = table_one(confusion)
    assert values == pytest.approx(
        {
            "precision": (3 / 4 + 2 / 6 + 0) / 3,
            "recall": (3 / 4 + 1 + 0) / 3,
            "f1": (3 / 4 + 2 * (1 / 3) / (4 / 3) + 0) / 3,
            "balanced_accuracy": (3 / 4 + 1 + 0) / 3,
            "accuracy": 0.5,
        }
    )


def test_metrics_of_an_engine():
    generator = torch.Generator().manual_seed(0)
    batches = [
        {"pred": torch.randn(5, 3, generator=generator), "label": torch.randint(3, (5,), generator=generator)}
        for _ in range(4)
    ]
    engine = Engine(lambda _, batch: batch)
    for name, metric in image_metrics(3).items():
        metric.attach(engine, name)
    metrics = engine.run(batches).metrics
    logits, labels = (torch.cat([batch[key] for batch in batches]) for key in ("pred", "label"))
    confusion = torch.zeros(3, 3)
    for label, told in zip(labels, logits.argmax(1), strict=True):
        confusion[label, told] += 1
    for name, value in table_one(confusion).items():
        assert metrics[f"val_{name}"] == pytest.approx(value)
    assert metrics["val_loss"] == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-5)


def table_engine(folder, scores, first=1, losses=None):
    evaluator = SimpleNamespace(state=SimpleNamespace(epoch=0, metrics={}))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    engine = Engine(lambda _, batch: {"loss": torch.tensor(batch)})
    table = EpochTable(str(folder), evaluator, optimizer, "val_f1", {"data": "x"})

    @engine.on(Events.EPOCH_COMPLETED)
    def validate(engine):
        index = engine.state.epoch - 1
        metrics = {"val_f1": scores[index], "val_loss": losses[index] if losses else 0.5}
        evaluator.state = SimpleNamespace(epoch=engine.state.epoch, metrics=metrics)

    table.attach(engine)
    engine.state.epoch = 0
    state = {"epoch": first - 1, "max_epochs": len(scores), "epoch_length": 2}
    engine.load_state_dict(state)
    engine.run([1.0, 3.0], epoch_length=2, max_epochs=len(scores))


def test_the_table_of_epochs(tmp_path):
    table_engine(tmp_path, [0.2, 0.7, 0.5])
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert rows[0] == "epoch,learning_rate,train_loss,val_f1,val_loss"
    assert rows[1:] == ["1,0.5,2.0,0.2,0.5", "2,0.5,2.0,0.7,0.5", "3,0.5,2.0,0.5,0.5"]
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert (report["best_epoch"], report["epochs"], report["metrics"]["val_f1"], report["data"]) == (2, 3, 0.7, "x")
    table_engine(tmp_path, [0.2, 0.6, 0.9, 0.1], first=2)  # epochs that are trained again are replaced
    assert [row.split(",")[3] for row in (tmp_path / "metrics.csv").read_text().splitlines()[1:]] == [
        *["0.2", "0.6", "0.9", "0.1"]
    ]
    assert not list(tmp_path.glob(".*"))


NAN = math.nan


@pytest.mark.parametrize(
    ("scores", "losses", "best"),
    [
        ([0.7, 0.9, 0.9, 0.9], [0.1, 0.9, 0.2, 0.5], 3),
        ([0.7, 0.9, 0.9], [0.1, 0.2, 0.2], 2),
        ([NAN, NAN, NAN], [0.7, 0.4, 0.6], 2),
    ],
)
def test_the_table_and_the_model_are_of_one_epoch(tmp_path, scores, losses, best):
    table_engine(tmp_path, scores, losses=losses)
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert (report["best_epoch"], report["metrics"]["val_loss"]) == (best, losses[best - 1])
    evaluator = SimpleNamespace(state=SimpleNamespace())
    card = model_card("multiclass", ["a", "b"], {}, FROM_SCRATCH["input"])
    progress = TrainingProgress(str(tmp_path), evaluator, None, None, card, [], {}, score="val_f1")
    for epoch, (score, loss) in enumerate(zip(scores, losses, strict=True), 1):
        evaluator.state.metrics = {"val_f1": score, "val_loss": loss}
        progress._validated(SimpleNamespace(network=nn.Linear(1, 1), state=SimpleNamespace(epoch=epoch)))
    assert progress.best_epoch == read_card(tmp_path / "model.pt")["metrics"]["epoch"] == best


def test_contradictions_between_cards():
    stored = {"input": {"mean": 0.3162, "std": [0.3, 0.3]}}
    assert contradictions(stored, {"input": {"mean": 0.3162, "std": [0.3, 0.3]}}) == []
    assert contradictions({}, {"input": {"mean": 1, "std": 1}}) == []
    assert contradictions(stored, {"input": {"mean": [0.3162], "std": (0.3, 0.3)}}) == []
    assert contradictions(stored, {"input": {"mean": [0.3162] * 2, "std": 0.3}}) == []
    assert len(contradictions(stored, {"input": {"mean": [0.3162, 0.3], "std": [0.3] * 3}})) == 2
    assert contradictions(stored, None) == []
    found = contradictions(stored, {"input": {"mean": 0.0, "std": 1.0}})
    assert [text.split(",")[0] for text in found] == ["its card says mean 0.3162", "its card says std [0.3"]
