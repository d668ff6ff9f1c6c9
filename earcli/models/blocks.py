"""The parts that encoder and decoder are built of. Everything is (B, C, H, W)."""

import torch
from torch import Tensor, nn

from earcli.models.convolution import Conv3x3


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    # no bias: the batch norm that follows takes any constant away, so it could never learn
    return Conv3x3(in_channels, out_channels, 3, padding=1, bias=False)


def start_as_identity(last_norm: nn.Module) -> None:
    """Silences a residual branch, so that depth comes in as it learns (Goyal et al. 2017, arXiv:1706.02677)."""
    assert isinstance(last_norm, nn.BatchNorm2d)
    nn.init.zeros_(last_norm.weight)


def linear_range(norm: nn.Module) -> None:
    """Lets a batch norm give values that a ReLU after it leaves nearly all as they are, until training says more."""
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.constant_(norm.weight, 0.5)
    nn.init.ones_(norm.bias)


def start_nearly_linear(conv: nn.Module, norm: nn.Module) -> None:
    """Starts a convolution, batch norm and ReLU as an orthogonal map of each position (Xiao et al. 2018, 1806.05393).

    Random kernels and ReLUs on top of one another leave few directions of what comes in.
    """
    assert isinstance(conv, nn.Conv2d)
    with torch.no_grad():
        conv.weight.zero_()
        middle = torch.empty(conv.out_channels, conv.in_channels)
        conv.weight[:, :, 1, 1] = nn.init.orthogonal_(middle)
    linear_range(norm)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around an identity (He et al. 2016, arXiv:1512.03385, figure 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv3x3(channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            conv3x3(channels, channels),
            nn.BatchNorm2d(channels),
        )
        start_as_identity(self.body[-1])

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + x)


class SpatialAttention(nn.Module):
    """Weighs each position by what the channels' mean and maximum say there (Woo et al. 2018, arXiv:1807.06521)."""

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.compiler.is_compiling():
            # amax's gradient looks for the maximum among values that were rounded otherwise: 0/0 where it finds none
            highest = x.max(1, keepdim=True).values
        else:
            highest = x.amax(1, keepdim=True)
        pooled = torch.cat([x.mean(1, keepdim=True), highest], 1)  # (B, 2, H, W)
        return x * torch.sigmoid(self.conv(pooled))


def adaptation_stage(in_channels: int, out_channels: int, kernel_size: int, *, residual: bool) -> nn.Sequential:
    """3×3 convolution, batch norm, ReLU, a residual block where wanted, spatial attention."""
    layers: list[nn.Module] = [
        conv3x3(in_channels, out_channels),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
    if residual:
        layers.append(ResidualBlock(out_channels))
    return nn.Sequential(*layers, SpatialAttention(kernel_size))


def upsample_stage(in_channels: int, out_channels: int, *, residual: bool) -> nn.Sequential:
    """A residual block where wanted, then a 4×4 transposed convolution that doubles height and width."""
    layers: list[nn.Module] = [ResidualBlock(in_channels)] if residual else []
    return nn.Sequential(
        *layers,
        nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
