"""Which map of evidence shows what the answer rests on: what deleting its highest voxels does to the probability."""
