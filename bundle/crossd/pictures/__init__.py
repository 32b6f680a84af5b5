"""Pictures of what a trained network has learned."""

from __future__ import annotations

from crossd.pictures.kernels import animate_kernels, plot_motions, plot_stored
from crossd.pictures.motions import predicted_motions
