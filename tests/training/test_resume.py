"""The law: a run that is killed, at any moment and any number of times, ends with the weights of one that is not."""

from __future__ import annotations

import pytest

from ..drivers import kill_and_resume

VOLUMES = {"weights": "none", "roi_size": [8, 8, 8], "depth": 10, "width": 2, "epochs": 3, "batch_size": 4}
VOLUMES |= {"learning_rate": 0.003, "tensorboard": False, "patience": 30}
IMAGES = {"width": 2, "epochs": 3, "mixup": 0.3, "ema": 0.9, "schedule": "cosine", "warmup_epochs": 1}


@pytest.fixture
def killed(volumes, images, small, tmp_path):
    """Kills runs of a config."""
    of_volumes = {**VOLUMES, "images": volumes / "images", "labels": volumes / "labels.csv"}
    options = {"train": of_volumes, "pretrain_2d": {**small, **IMAGES, "images": images}}
    return lambda config, **moments: kill_and_resume(tmp_path, [config], options[config], **moments)


@pytest.mark.slow
def test_killed_runs_on_volumes_end_as_the_whole_run(killed):
    count, partial = killed("train", runs=1, kills=3, latest=2, seed=0)
    assert count >= 2
    assert partial > 0


@pytest.mark.slow
def test_killed_runs_on_images_end_as_the_whole_run(killed):
    assert killed("pretrain_2d", runs=1, kills=2, latest=3, seed=0)[0] >= 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("config", "moments", "least"),
    [
        ("train", {"runs": 10, "kills": 5, "latest": 3}, 30),
        ("pretrain_2d", {"runs": 8, "kills": 5, "latest": 12}, 24),
    ],
)
def test_killed_at_many_moments(killed, config, moments, least):
    assert killed(config, seed=1, **moments)[0] >= least
