"""Whether a client of federated learning trains: the server's weights are then in the network, and stay there."""

from __future__ import annotations

import sys

from crossd.callers import caller_of


def in_federated_round() -> bool:
    """Whether MONAI's `ClientAlgo` (`monai.fl.client.MonaiAlgo`, NVFLARE's clients) has called what is running.

    It puts the server's weights into the trainer's network and then runs the trainer, whose handlers must neither load
    the weights that a run of one's own starts from nor take up a run that was ended. MONAI does not tell them, so the
    client is looked for among the callers.

    >>> in_federated_round()
    False
    """
    module = sys.modules.get("monai.fl.client")
    return module is not None and caller_of(module.ClientAlgo) is not None
