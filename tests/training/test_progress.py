"""Which epoch is kept, when training stops, and what a resumed run takes over."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from crossd.cards.from_weights import FROM_SCRATCH
from crossd.checkpoints import read_checkpoint
from crossd.errors import CrossDError
from crossd.training import TrainingProgress, check_resume, epoch_schedule, model_card, run_files
from ignite.engine import Engine
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer

CARD = model_card("multiclass", ["a", "b"], {}, FROM_SCRATCH["input"])
NAN = math.nan


def run(folder, aucs, losses=None, stop_after=None, epochs=None, schedule=None, **options):
    """Train a linear layer for a number of epochs whose validations are made up; the trainer.

    Its learning rate falls by steps, or as a cosine over so many epochs (`schedule`).
    """
    torch.manual_seed(0)
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    scheduler = epoch_schedule(optimizer, schedule) if schedule else torch.optim.lr_scheduler.StepLR(optimizer, 2)
    evaluator = Engine(lambda engine, batch: None)
    evaluator.state.epoch, evaluator.state.metrics = 0, {}
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=epochs or len(aucs),
        train_data_loader=[{"image": torch.eye(2), "label": torch.tensor([0, 1])}],
        network=network,
        optimizer=optimizer,
        loss_function=torch.nn.CrossEntropyLoss(),
        decollate=False,
    )

    trainer.rates = []

    @trainer.on("EPOCH_COMPLETED")
    def validate(engine):
        trainer.rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
        epoch = engine.state.epoch
        if epoch <= len(aucs) and aucs[epoch - 1] is not None:
            evaluator.state.epoch = epoch
            evaluator.state.metrics = {"val_auc": aucs[epoch - 1], "val_loss": (losses or aucs)[epoch - 1]}

    options = {"settings": {"lr": 0.1}, **options}
    progress = TrainingProgress(str(folder), evaluator, optimizer, scheduler, CARD, [], **options)
    progress.attach(trainer)
    if stop_after:
        trainer.add_event_handler("EPOCH_COMPLETED", lambda e: e.terminate() if e.state.epoch == stop_after else None)
    trainer.run()
    return trainer, progress


def test_the_best_epoch_is_kept_with_its_card(tmp_path):
    run(tmp_path, [0.5, 0.9, 0.9, 0.7])
    best = read_checkpoint(tmp_path / "model.pt")
    assert best["card"] == {**CARD, "metrics": {"val_auc": 0.9, "val_loss": 0.9, "epoch": 2}}  # the first of two
    last = read_checkpoint(run_files.checkpoint_path(tmp_path, 4))
    assert not torch.equal(best["model"]["weight"], last["model"]["weight"])
    assert [path.name for path in run_files.checkpoints(tmp_path)] == ["checkpoint_0004.pt", "checkpoint_0003.pt"]


def test_without_an_auc_the_lowest_loss_decides_and_it_is_said_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        run(tmp_path, [NAN, NAN, NAN], [0.7, 0.4, 0.6])
    assert read_checkpoint(tmp_path / "model.pt")["card"]["metrics"] == {"val_loss": 0.4, "epoch": 2}
    assert caplog.text.count("the validation AUC is not defined") == 1


def test_among_equal_aucs_the_lowest_loss_decides(tmp_path):
    _, progress = run(tmp_path, [0.9, 1.0, 1.0, 1.0, 0.99], [0.8, 0.7, 0.2, 0.5, 0.01], patience=2)
    assert (progress.best_epoch, progress.best_metrics["val_loss"]) == (3, 0.2)


def test_epochs_without_validation_do_not_count(tmp_path):
    _, progress = run(tmp_path, [None, 0.6, None, 0.8], patience=1)
    assert (progress.best_epoch, progress.best_metrics["val_auc"]) == (4, 0.8)


def test_early_stopping(tmp_path):
    trainer, progress = run(tmp_path, [0.5, 0.8, 0.7, 0.8, 0.6, 0.9], patience=2)
    assert (trainer.state.epoch, progress.best_epoch) == (4, 2)
    again, progress = run(tmp_path, [0.5, 0.8, 0.7, 0.8, 0.6, 0.9], patience=2)
    assert (again.state.epoch, progress.best_epoch) == (4, 2)  # the same command again trains no further


@pytest.mark.parametrize("stopped", [1, 2, 4])
def test_a_resumed_run_ends_as_the_whole_run(tmp_path, stopped):
    aucs = [0.5, 0.6, 0.9, 0.8, 0.7]
    run(tmp_path / "whole", aucs)
    run(tmp_path / "parts", aucs, stop_after=stopped)
    assert run_files.newest_checkpoint(tmp_path / "parts")["epoch"] == stopped
    trainer, _ = run(tmp_path / "parts", aucs)
    assert trainer.state.epoch == 5
    for name in ("model.pt", "checkpoint_0005.pt"):
        whole, parts = read_checkpoint(tmp_path / "whole" / name), read_checkpoint(tmp_path / "parts" / name)
        assert torch.equal(whole["model"]["weight"], parts["model"]["weight"])
        assert whole["card"] == parts["card"]
    assert whole["scheduler"] == parts["scheduler"]
    torch.testing.assert_close(whole["optimizer"], parts["optimizer"], rtol=0, atol=0)


def test_a_finished_run_is_left_as_it_is(tmp_path):
    run(tmp_path, [0.5, 0.9])
    before = (tmp_path / "checkpoint_0002.pt").stat().st_mtime_ns
    trainer, progress = run(tmp_path, [0.5, 0.9])
    assert (trainer.state.epoch, progress.best_epoch) == (2, 2)
    assert (tmp_path / "checkpoint_0002.pt").stat().st_mtime_ns == before


def test_a_finished_run_goes_on_with_more_epochs_at_the_rates_of_the_longer_schedule(tmp_path):
    aucs = [0.5, 0.9, 0.7, 0.8]
    run(tmp_path, aucs[:2], settings={"epochs": 2}, schedule=2)
    trainer, progress = run(tmp_path, aucs, settings={"epochs": 4}, schedule=4)
    assert (trainer.state.epoch, progress.best_epoch) == (4, 2)
    assert trainer.rates == pytest.approx([0.05, 0.1 * (1 - math.sqrt(0.5)) / 2])  # cosine of 2 and 3 of 4
    check_resume(str(tmp_path), {"epochs": 5})
    for fewer in (3, 2):
        with pytest.raises(CrossDError, match=f"epochs was 4 and is {fewer}"):
            check_resume(str(tmp_path), {"epochs": fewer})


def test_a_run_that_has_not_finished_keeps_its_number_of_epochs(tmp_path):
    run(tmp_path, [0.5, 0.9], stop_after=1, settings={"epochs": 2})
    for refused in (check_resume, lambda folder, given: run(folder, [0.5, 0.9, 0.8], settings=given)):
        with pytest.raises(CrossDError, match="epochs was 2 and is 3"):
            refused(str(tmp_path), {"epochs": 3})


def test_starting_again_on_request(tmp_path):
    run(tmp_path, [0.5, 0.9, 0.8])
    _, progress = run(tmp_path, [0.7], resume=False)
    assert progress.best_metrics["val_auc"] == 0.7
    assert [path.name for path in run_files.checkpoints(tmp_path)] == ["checkpoint_0001.pt"]


def test_other_settings_are_not_resumed(tmp_path):
    run(tmp_path, [0.5])
    with pytest.raises(CrossDError, match=r"resumed under the settings it was started with.*lr was 0\.1 and is 0\.2"):
        run(tmp_path, [0.5], settings={"lr": 0.2})


def test_other_settings_are_refused_before_anything_is_read(tmp_path):
    run(tmp_path, [0.5])
    check_resume(str(tmp_path), {"lr": 0.1}, card=CARD)
    check_resume(str(tmp_path), {"lr": 0.2}, resume=False)
    check_resume(str(tmp_path / "new"), {"lr": 0.2})
    check_resume(str(tmp_path), {"lr": 0.1, "newer": 1})  # what older runs did not record is for the run to judge
    for given in ({"settings": {"lr": 0.2}}, {"card": {**CARD, "class_names": ["a", "c"]}}, {"cases": [{"label": 1}]}):
        with pytest.raises(CrossDError, match="A run is resumed under the settings it was started with"):
            check_resume(str(tmp_path), **{"settings": {"lr": 0.1}, **given})


def test_a_broken_rule_is_left_to_the_end_of_the_program(tmp_path, caplog):
    run(tmp_path, [0.5])
    caplog.clear()
    with pytest.raises(CrossDError):
        run(tmp_path, [0.5], settings={"lr": 0.2})
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


@pytest.mark.parametrize(
    ("best", "labels", "said"), [(1.0, [0] * 9 + [1] * 10, "'a' (9)"), (1.0, [0, 1] * 10, ""), (0.9, [0, 1], "")]
)
def test_the_last_line_says_on_how_little_a_perfect_score_rests(tmp_path, caplog, best, labels, said):
    with caplog.at_level("INFO"):
        trainer, progress = run(tmp_path, [best])
    assert caplog.messages[-1].startswith("best epoch 1 of 1")
    progress.evaluator.data_loader = DataLoader(Dataset([{"label": label} for label in labels]))
    caplog.clear()
    with caplog.at_level("INFO"):
        progress.completed(trainer)
    last = caplog.messages[-1]
    assert last.startswith(f"best epoch 1 of 1 (val_auc {best:.4f}")
    assert ("val_auc 1.0 is of fewer than 10 validation cases of 'a' (9): do not rely on it" in last) == bool(said)


def test_bad_arguments(tmp_path):
    with pytest.raises(CrossDError, match=r"a folder for what it writes, got none\. Pass --output_dir"):
        TrainingProgress(None, None, None, None, CARD, [], {})
    with pytest.raises(CrossDError, match=r"patience must be a number of validations, 1 or more, or null, got 0"):
        TrainingProgress(str(tmp_path), None, None, None, CARD, [], {}, patience=0)


def test_released_weights_are_never_written_over(root):
    with pytest.raises(CrossDError, match=r"never written by training, got .*models\. Pass another --output_dir"):
        TrainingProgress(str(root / "models"), None, None, None, CARD, [], {})
