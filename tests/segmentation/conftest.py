"""What the tests of segmentation share."""

from __future__ import annotations

import pytest

from .. import configs


@pytest.fixture(scope="session")
def card_input():
    """The `input` of a card for small volumes."""
    return configs.card_input(8, mean=0.5, std=0.25)
