"""What the tests of segmentation share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def card_input():
    """The `input` of a card for small volumes."""
    return {
        "channels": ["image"],
        "plane": "axial",
        "spacing": None,
        "roi_size": [8, 8, 8],
        "intensity": {"mode": "range"},
        "mean": 0.5,
        "std": 0.25,
    }
