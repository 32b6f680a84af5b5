"""Is there a signal? Features of frozen weights, a regression on them, and what no network would have said.

Nothing but a linear layer is fitted: `run_probe` tells whether the labelled cases can be told apart, how sure that is
beside trivial baselines, and writes a model for `inference.json`; `embed` gives the features to anyone.
"""

from crossd.probe.embedding import Embeddings, embed, run_embed
from crossd.probe.running import run_probe
