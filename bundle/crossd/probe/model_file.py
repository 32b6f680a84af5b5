"""The model of a probe: the frozen network with the regression as its last layer, and a card, for `inference.json`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossd.cards.covariates import Covariates
from crossd.cards.from_data import model_card
from crossd.cards.scope import Scope
from crossd.cards.scope_entry import entry_of_scope
from crossd.checkpoints import save_checkpoint
from crossd.errors import CrossDError
from crossd.networks import MultiView, build_classifier
from crossd.probe.features import Seen
from crossd.probe.frozen import Frozen
from crossd.probe.regressions import Linear

logger = logging.getLogger(__name__)


def probe_network(frozen: Frozen, views: Sequence[str], head: Linear) -> MultiView:
    """The frozen network with the views that were chosen only, and a head for these.

    Args:
        frozen: whose weights it has.
        views: in the order of the head's features.
        head: features of the views side by side → logits.
    """
    classes = len(head.bias)
    network = build_classifier(
        {
            **frozen.arguments,
            "views": list(views),
            "spatial_dims": 3,
            "in_channels": len(frozen.input["channels"]),
            "num_classes": classes,
        }
    )
    assert isinstance(network, MultiView)
    state = {name: value for name, value in frozen.network.state_dict().items() if not name.startswith("fc.")}
    weight, bias = (torch.from_numpy(part).float() for part in (head.weight, head.bias))
    network.load_state_dict({**state, "fc.weight": weight, "fc.bias": bias})
    return network.eval()


def probe_card(
    frozen: Frozen,
    views: Sequence[str],
    task: str,
    class_names: Sequence[str],
    negative_class: str | int | None,
    data: str,
    metrics: Mapping[str, Any],
    scope: Scope | None,
    target: Mapping[str, float] | None = None,
    covariates: Covariates | None = None,
) -> dict[str, Any]:
    """The card: whole volumes, the frozen weights by name and hash as `frozen`, what was measured as `metrics`."""
    card = model_card(
        task,
        class_names,
        {**frozen.arguments, "views": list(views)},
        frozen.input,
        negative_class,
        data,
        target,
        frozen=dict(frozen.weights),
    )
    beside = {} if covariates is None else {"covariates": covariates.entry()}
    return {**card, **beside, "metrics": dict(metrics), "scope": None if scope is None else entry_of_scope(scope)}


def parted_head(head: Linear, covariates: Covariates, figures: np.ndarray) -> tuple[Linear, Covariates]:
    """A head of views and columns as one of the views, for a case with the mean figures, and what columns add.

    Args:
        head: features of views, then of columns → logits.
        covariates: without coefficients.
        figures: `(cases, features of columns)` of the training cases.

    >>> head, given = Linear(np.array([[1.0, 2.0]]), np.array([0.5])), Covariates("regression", {"age": None}, [], [])
    >>> of_views, beside = parted_head(head, given, np.array([[50.0], [70.0]]))
    >>> of_views.bias.tolist(), beside.mean, beside.coefficients
    ([120.5], [60.0], [[2.0]])
    """
    count, mean = figures.shape[1], figures.mean(0)
    more = head.weight[:, -count:]
    of_views = Linear(head.weight[:, :-count], head.bias + more @ mean)
    return of_views, replace(covariates, mean=mean.tolist(), coefficients=more.tolist())


def probe_scope(
    seen: Sequence[Seen], views: Sequence[str], training: Sequence[int], held_out: Sequence[int]
) -> Scope | None:
    """What labelled cases look like, with limits set by one fold; None, with a warning, where there are too few."""

    def figures(cases: Sequence[int]) -> list[dict[str, Any]]:
        return [{**seen[case].figures, "features": seen[case].normalised(views).numpy()} for case in cases]

    try:
        return Scope.fit(figures(training), figures(held_out))
    except CrossDError as error:
        logger.warning("the model has no scope, so inference cannot tell cases that are unlike these: %s", error)
        return None


def write_model(path: Path, network: MultiView, card: dict[str, Any]) -> None:
    """Write `model.pt`, whole or not at all."""
    save_checkpoint(path, network, card)
    logger.info("the model is %s (%.1f MB)", path, path.stat().st_size / 1e6)
