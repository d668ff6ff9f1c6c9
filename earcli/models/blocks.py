"""Building blocks of encoder and decoder. All maps are (B, C, H, W)."""

import torch
from torch import Tensor, nn

from earcli.models.convolution import Conv3x3


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3×3 convolution without bias, which the batch norm after it would cancel."""
    return Conv3x3(in_channels, out_channels, 3, padding=1, bias=False)


def initialize_identity(last_norm: nn.Module) -> None:
    """Zero-initializes the last batch norm of a residual branch (Goyal et al. 2017, arXiv:1706.02677)."""
    assert isinstance(last_norm, nn.BatchNorm2d)
    nn.init.zeros_(last_norm.weight)


def initialize_linear_range(norm: nn.Module) -> None:
    """Initializes a batch norm so that nearly all of its outputs lie in the linear range of a ReLU after it."""
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.constant_(norm.weight, 0.5)
    nn.init.ones_(norm.bias)


def initialize_orthogonal(conv: nn.Module, norm: nn.Module) -> None:
    """Initializes a 3×3 convolution, batch norm and ReLU as an orthogonal map of each position.

    After Xiao et al. 2018, arXiv:1806.05393 (delta-orthogonal initialization). Stacked random kernels and ReLUs would
    collapse the input onto few directions.
    """
    assert isinstance(conv, nn.Conv2d)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[:, :, 1, 1] = nn.init.orthogonal_(torch.empty(conv.out_channels, conv.in_channels))
    initialize_linear_range(norm)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with an identity shortcut (He et al. 2016, arXiv:1512.03385, figure 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv3x3(channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            conv3x3(channels, channels),
            nn.BatchNorm2d(channels),
        )
        initialize_identity(self.body[-1])

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + x)


class SpatialAttention(nn.Module):
    """Spatial attention from the mean and the maximum over channels (Woo et al. 2018, arXiv:1807.06521, CBAM)."""

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.compiler.is_compiling():
            # compiled, amax's gradient compares the maximum with values rounded differently: 0/0 if none equals it
            maximum = x.max(1, keepdim=True).values
        else:
            maximum = x.amax(1, keepdim=True)
        pooled = torch.cat([x.mean(1, keepdim=True), maximum], 1)  # (B, 2, H, W)
        return x * torch.sigmoid(self.conv(pooled))


def adaptation_stage(in_channels: int, out_channels: int, kernel_size: int, *, residual: bool) -> nn.Sequential:
    """3×3 convolution, batch norm, ReLU, an optional residual block, spatial attention."""
    layers: list[nn.Module] = [
        conv3x3(in_channels, out_channels),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
    if residual:
        layers.append(ResidualBlock(out_channels))
    return nn.Sequential(*layers, SpatialAttention(kernel_size))


def upsample_stage(in_channels: int, out_channels: int, *, residual: bool) -> nn.Sequential:
    """An optional residual block, then a 4×4 transposed convolution that doubles height and width."""
    layers: list[nn.Module] = [ResidualBlock(in_channels)] if residual else []
    return nn.Sequential(
        *layers,
        nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
