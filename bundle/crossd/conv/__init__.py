"""The Cross-D convolution layer and its entry in MONAI's `Conv` factory."""

from crossd.conv.alignment import calibrate, random_through_plane, set_alignment, set_through_plane
from crossd.conv.factory import CrossDConv2d, CrossDConv3d, crossd_convs, register
from crossd.conv.fold import fold
from crossd.conv.inflation import embed_kernel, inflate_kernel
from crossd.conv.layer import CrossDConv
from crossd.conv.unseen import drop_unseen, unseen_penalty
