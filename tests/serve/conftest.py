"""A watcher's folder, model and receiver, all small."""

from __future__ import annotations

import pytest
import torch
from crossd.checkpoints import save_checkpoint
from crossd.inference import network_from_card
from crossd.serve import Ledger, Node, Settings
from crossd.serve.receiver import Receiver

from .made import CARD, ROOT, Sink, free_port

pytest.importorskip("highdicom", reason='highdicom is not installed: pip install "crossd[serve]"')
pytest.importorskip("pynetdicom", reason='pynetdicom is not installed: pip install "crossd[serve]"')


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_checkpoint(path, network_from_card(CARD), card=CARD)
    return path


@pytest.fixture
def incoming(tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def sink():
    made = Sink()
    yield made
    made.stop()


@pytest.fixture
def receiver(tmp_path):
    made = Receiver(Node("CROSSD", "127.0.0.1", free_port()), ["ORTHANC"], tmp_path / "received")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "journal.sqlite")
    yield made
    made.close()


@pytest.fixture
def settings(incoming, sink, weights):
    """Everything that is there, once, as fast as it goes."""
    return Settings(
        incoming,
        sink.node,
        ROOT,
        weights=str(weights),
        quiet=0.2,
        poll=0.05,
        once=True,
        backend="eager",
        longest_pause=1,
    )
