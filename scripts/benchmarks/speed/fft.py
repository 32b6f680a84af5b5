r"""The published algorithm, with the Fourier transform that `crossd.motion` does without: the one to compare with.

Written from arXiv 2411.02441v4, Eq. 1–8 and Algorithm 1, as they stand: transform the kernels, turn the frequency grid,
multiply by the phase, transform back, take the middle slice, convolve every sample with its own kernels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from crossd.conv import CrossDConv
from torch import Tensor, nn


def moved_by_fft(weight: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """Middle slices of the moved kernels, Eq. 2–8.

    Args:
        weight: `U`, shape `(out, in, K, K, K)`.
        axis: `k`, shape `(batch, 3)`, unit vectors.
        angle: `θ`, shape `(batch, 1)`, radians.

    Returns:
        Shape `(batch, out, in, K, K)`.

    >>> moved_by_fft(torch.randn(4, 2, 3, 3, 3), torch.zeros(5, 3), torch.zeros(5, 1)).shape
    torch.Size([5, 4, 2, 3, 3])
    """
    size = weight.shape[-1]
    x, y, z = axis.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)  # Eq. 3
    turn = torch.eye(3, dtype=axis.dtype, device=axis.device) + angle[:, :, None] * cross  # Eq. 2
    spectrum = torch.fft.fftn(weight, dim=(-3, -2, -1))  # Eq. 4
    line = torch.fft.fftfreq(size, dtype=axis.dtype, device=axis.device)
    grid = torch.stack(torch.meshgrid(line, line, line, indexing="ij")).reshape(3, -1)
    turned = turn @ grid  # Eq. 5, (batch, 3, K³)
    phase = torch.exp(-2j * torch.pi * turned.sum(1))  # Eq. 6
    phase = phase.reshape(-1, 1, 1, size, size, size)
    moved = torch.fft.ifftn(spectrum * phase, dim=(-3, -2, -1)).real  # Eq. 7 and 8
    return moved[:, :, :, size // 2]


class FFTConv2d(nn.Module):
    """A Cross-D convolution of images by the published algorithm, with square odd kernels and no bias.

    Args:
        layer: a `CrossDConv` whose sizes and weights it takes over.

    Shapes: `(batch, in_channels, height, width)` → `(batch, out_channels, height_out, width_out)`.

    >>> layer = CrossDConv(2, 3, 8, 3, padding=1, bias=False).eval()
    >>> x = torch.randn(2, 3, 9, 9)
    >>> torch.allclose(FFTConv2d(layer).eval()(x), layer(x), atol=1e-5)
    True
    """

    def __init__(self, layer: CrossDConv) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation = layer.stride, layer.padding, layer.dilation
        self.groups = layer.groups
        self.weight = nn.Parameter(layer.weight.detach().clone())
        # as published, there is a predictor for 1×1 kernels too, although those cannot move
        self.predictor = nn.Sequential(
            nn.Conv2d(layer.in_channels, 16, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 4, 1)
        )
        if layer.predictor is not None:
            state = layer.predictor.state_dict()
            self.predictor.load_state_dict(
                {
                    name: value[..., None, None]
                    if value.dim() == 2
                    else value  # pointwise: (out, in) → (out, in, 1, 1)
                    for name, value in state.items()
                }
            )

    def forward(self, x: Tensor) -> Tensor:
        maps = self.predictor(x).flatten(2)
        raw = (maps * torch.softmax(maps, 2)).sum(2)  # Eq. 1
        axis = raw[:, :3] / (torch.linalg.vector_norm(raw[:, :3], dim=1, keepdim=True) + 1e-8)
        kernels = moved_by_fft(self.weight, axis, torch.tanh(raw[:, 3:]) * (torch.pi / 4))
        batch = x.shape[0]
        y = F.conv2d(
            x.flatten(0, 1).unsqueeze(0),
            kernels.flatten(0, 1),
            None,
            self.stride,
            self.padding,
            self.dilation,
            batch * self.groups,
        )
        return y.unflatten(1, [batch, -1]).squeeze(0)


def with_fft(network: nn.Module) -> nn.Module:
    """Replace every `CrossDConv` in `network` by the published algorithm, in place, and return it.

    >>> type(with_fft(nn.Sequential(CrossDConv(2, 1, 1, 3, bias=False)))[0]).__name__
    'FFTConv2d'
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, CrossDConv):
                setattr(parent, name, FFTConv2d(child))
    return network
