"""Why the network said what it said of a case, as far as a run shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crossd.inference.window_map import WindowMap


@dataclass(frozen=True)
class Explanation:
    """Maps over a case for one class.

    Attributes:
        shown: the class; empty where there are no maps.
        maps: by kind, "evidence" or "saliency".
        missing: why a map is not there that was asked for.
    """

    shown: str = ""
    maps: Mapping[str, WindowMap] = field(default_factory=dict)
    missing: str | None = None
