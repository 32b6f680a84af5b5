"""`CrossDConv`: a convolution whose one stored 3D weight serves 2D images and volumes."""

# No `from __future__ import annotations`: torch.jit.script needs real annotations of attributes.
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from crossd.conv.arguments import PADDING_MODES, check_groups, pad_before, spatial_tuple, split_padding
from crossd.conv.per_sample import add_bias, convolve, convolve_moved_input, convolve_per_sample, pixels_out
from crossd.conv.predictor import MotionPredictor
from crossd.errors import CrossDError, one_of
from crossd.motion import (
    ALIGNMENTS,
    MAX_ANGLE,
    MOTIONS,
    VIEWS,
    motion_in_image,
    motion_in_volume,
    motion_matrix,
    move_kernel,
    seen_from,
)


class CrossDConv(nn.Module):
    r"""Cross-D convolution (Yavuz and Yang, arXiv 2411.02441), without a Fourier transform.

    Stored: `weight` `U` of shape `(out_channels, in_channels / groups, K, K, K)`, axes `(depth, height, width)`, an
    optional `bias`, a `predictor` of the kernel's motion and, in the buffer `running_motion`, the mean of the motion
    parameter seen in 2D training. The state dict is the same for `spatial_dims` 2 and 3 and in training and
    evaluation, so `layer3d.load_state_dict(layer2d.state_dict())` inflates a layer. `K = 1` owns neither predictor nor
    buffer.

    Args:
        spatial_dims: 2 for images `(batch, channel, height, width)`, 3 for volumes `(batch, channel, depth, height,
            width)`.
        in_channels, out_channels, stride, padding, dilation, groups, bias, padding_mode: as in
            `torch.nn.Conv2d`/`Conv3d`; `padding` may be `"same"` or `"valid"`.
        kernel_size: `K`, one number or equal numbers.
        alignment: which motion the kernel gets: `"raw"` none (what the official transfer copies); `"rest"` that of θ =
            0; `"running"` that of `running_motion`; `"dynamic"` predicted per sample. Default `"dynamic"` in 2D,
            `"running"` in 3D.
        motion: `"shift"` (published) or `"rotate"` (a true rotation); see `crossd.motion`.
        view: of the moved kernel in 2D: `"slice"` (published, the middle one) or `"projection"` (sum over depth).
        momentum: of `running_motion`, as in batch norm.
        max_angle: radians that the predicted angle stays below; π/4 in the paper, at most π.
        device, dtype: as in `torch.nn.Conv2d`.

    Raises:
        CrossDError: an argument that cannot be honoured, or an input of the wrong number of axes.

    >>> image_layer = CrossDConv(2, 3, 8, kernel_size=3, padding=1)
    >>> image_layer(torch.randn(2, 3, 16, 16)).shape
    torch.Size([2, 8, 16, 16])
    >>> volume_layer = CrossDConv(3, 3, 8, kernel_size=3, padding=1)
    >>> volume_layer.load_state_dict(image_layer.state_dict())
    <All keys matched successfully>
    >>> volume_layer(torch.randn(1, 3, 16, 16, 16)).shape
    torch.Size([1, 8, 16, 16, 16])
    """

    running_motion: Tensor | None
    _pads_before: list[int]
    few_pixels: Final[int] = 49  # up to which the input is moved: 7×7, the last stage of a ResNet on 224×224

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        alignment: str | None = None,
        motion: str = "shift",
        view: str = "slice",
        momentum: float = 0.1,
        max_angle: float = MAX_ANGLE,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise CrossDError(
                f"`spatial_dims` must be 2 or 3; got {spatial_dims!r}. Use torch.nn.Conv1d for sequences."
            )
        check_groups(in_channels, out_channels, groups)
        if alignment is None:
            alignment = "dynamic" if spatial_dims == 2 else "running"
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = spatial_tuple("kernel_size", kernel_size, spatial_dims)
        self.stride = spatial_tuple("stride", stride, spatial_dims)
        self.dilation = spatial_tuple("dilation", dilation, spatial_dims)
        self.groups = groups
        self.padding_mode = one_of("padding_mode", padding_mode, PADDING_MODES)
        self.alignment = one_of("alignment", alignment, ALIGNMENTS)
        self.motion = one_of("motion", motion, MOTIONS)
        self.view = one_of("view", view, VIEWS)
        self.momentum = momentum
        self.through_plane = 0  # see crossd.conv.alignment
        if not 0 < max_angle <= torch.pi:
            raise CrossDError(f"`max_angle` is in radians, above 0 and at most π; got {max_angle}. The paper's is π/4.")
        if len(set(self.kernel_size)) != 1:
            raise CrossDError(
                "`kernel_size` must be the same along every axis, because the stored weight is a cube; "
                f"got {self.kernel_size}. Use one number, or keep this layer a "
                "plain torch.nn convolution (build it outside crossd_convs())."
            )
        size = self.kernel_size[0]
        self.padding = padding if isinstance(padding, str) else spatial_tuple("padding", padding, spatial_dims)
        self._pads, self._pads_before = split_padding(
            padding, self.kernel_size, self.stride, self.dilation, padding_mode
        )
        weight = torch.empty(out_channels, in_channels // groups, size, size, size, device=device, dtype=dtype)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.empty(out_channels, device=device, dtype=dtype)) if bias else None
        if size > 1:
            predictor = MotionPredictor(in_channels, max_angle)
            self.predictor: MotionPredictor | None = predictor.to(device=device, dtype=dtype)
            self.register_buffer("running_motion", torch.zeros(3, device=device, dtype=dtype))
            self.predictor.requires_grad_(self.alignment == "dynamic")
        else:
            self.predictor = None
            self.register_buffer("running_motion", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kaiming initialisation (fan out, ReLU) as in the official layer; zero bias; `running_motion` at rest."""
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.running_motion is not None:
            nn.init.zeros_(self.running_motion)

    def kernel(self, motion_vector: Tensor | None = None) -> Tensor:
        """What will be convolved.

        Args:
            motion_vector: `v = θ·k`, shape `(batch, 3)`, for kernels at given motions; leave it out for the layer's
                fixed kernel.

        Returns:
            `(out, in / groups, *kernel_size)`, with a leading batch axis when `motion_vector` is given.

        Raises:
            CrossDError: when left out although the kernel depends on the input (`alignment="dynamic"`).

        >>> layer = CrossDConv(2, 1, 1, 3, alignment="raw")
        >>> torch.equal(layer.kernel(), layer.weight[:, :, 1])
        True
        """
        weight = seen_from(self.weight, self.through_plane)
        size = weight.shape[2]
        if motion_vector is None and (size == 1 or self.alignment == "raw"):
            if self.spatial_dims == 3:
                return weight
            return weight[:, :, size // 2] if self.view == "slice" else weight.sum(2)
        fixed = motion_vector is None
        if motion_vector is None:
            motion_vector = self._fixed_motion()
        moved = move_kernel(weight, self._matrix(motion_vector))
        kernels = moved.reshape([moved.shape[0], moved.shape[1], moved.shape[2]] + [size] * self.spatial_dims)
        return kernels[0] if fixed else kernels

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, in_channels, *spatial)` → `(batch, out_channels, *spatial_out)`, as torch.nn.ConvNd."""
        if x.dim() != self.spatial_dims + 2:
            axes = "height, width" if self.spatial_dims == 2 else "depth, height, width"
            raise CrossDError(
                f"CrossDConv with spatial_dims={self.spatial_dims} expects (batch, channel, {axes}); got "
                f"{x.dim()} axes, shape {list(x.shape)}. Add a batch axis with x.unsqueeze(0), or build the layer with "
                "the other spatial_dims."
            )
        motion_vector = self._predicted_motion(x)
        x = pad_before(x, self._pads_before, self.padding_mode)
        geometry = (self.stride, self._pads, self.dilation)
        if motion_vector is None:
            y = convolve(x, self.kernel(), *geometry, self.groups)
        elif self.groups == 1 and pixels_out(x, self.kernel_size[0], *geometry) <= self.few_pixels:
            weight = seen_from(self.weight, self.through_plane)
            y = convolve_moved_input(x, weight, self._matrix(motion_vector), *geometry)
        else:
            y = convolve_per_sample(x, self.kernel(motion_vector), *geometry, self.groups)
        return y if self.bias is None else add_bias(y, self.bias)

    def _predicted_motion(self, x: Tensor) -> Tensor | None:
        """`(batch, 3)` where kernels depend on the input; training on images averages it in `running_motion`."""
        predictor = self.predictor
        running = self.running_motion
        if predictor is None or running is None or self.alignment != "dynamic":
            return None
        motion_vector = predictor(x)
        if self.training and self.spatial_dims == 2:
            mean = motion_in_volume(motion_vector.detach(), self.through_plane).mean(0)
            running += self.momentum * (mean.to(running.dtype) - running)
        return motion_vector

    def _fixed_motion(self) -> Tensor:
        """`(1, 3)` where kernels do not depend on the input."""
        if self.alignment == "dynamic":
            raise CrossDError(
                'The kernel of alignment="dynamic" depends on the input, so there is no fixed one. '
                'Pass `motion_vector`, or use set_alignment(network, "running").'
            )
        running = self.running_motion
        assert running is not None  # for torch.jit: only K = 1 has none
        # at least float32: an angle in half precision would move the kernel by visible amounts
        running = running.float() if running.dtype in (torch.float16, torch.bfloat16) else running
        motion_vector = running if self.alignment == "running" else torch.zeros_like(running)
        return motion_in_image(motion_vector.unsqueeze(0), self.through_plane)

    def _matrix(self, motion_vector: Tensor) -> Tensor:
        rows = "volume" if self.spatial_dims == 3 else self.view
        return motion_matrix(motion_vector, self.weight.shape[2], self.motion, rows)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, spatial_dims={self.spatial_dims}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        )
        if any(value != 1 for value in self.dilation):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text + f", alignment={self.alignment}, motion={self.motion}, view={self.view}"
