"""Images as volumes: the pseudo-3D transformation of CDSSL-P3D, as pure functions and as MONAI transforms."""

from crossd.pseudo3d.transforms import Pseudo3D, Pseudo3Dd
from crossd.pseudo3d.windows import pseudo_3d, pseudo_3d_inverse, window_grid
