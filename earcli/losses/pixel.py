"""Terms on pixels. Images are (B, 3, H, W) in [-1, 1]; each term is a scalar in fp32, those named `_each` are (B,)."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from earcli.metrics.image import ssim, to_unit

CENTER_SIGMA = 0.35


def l1(difference: Tensor) -> Tensor:
    """mean |x̂ − x|, given x̂ − x.

    >>> l1(torch.full((2, 3, 8, 8), -0.5)).item()
    0.5
    """
    return difference.abs().mean()


def ssim_loss(reconstruction: Tensor, target: Tensor) -> Tensor:
    """1 − SSIM of the images mapped to [0, 1]."""
    return 1 - ssim(to_unit(reconstruction), to_unit(target)).mean()


def l1_each(difference: Tensor) -> Tensor:
    """mean |x̂ − x| of each image, given x̂ − x."""
    return difference.abs().mean((1, 2, 3))


def edge(difference: Tensor) -> Tensor:
    """mean |Δg_x| + mean |Δg_y|: Sobel gradients divided by 8, replicate padding, per channel; given x̂ − x."""
    return edge_each(difference).mean()


def edge_each(difference: Tensor) -> Tensor:
    """`edge` of each image. Sobel is linear, so the difference of two gradients is the gradient of the difference."""
    d = F.pad(difference, (1, 1, 1, 1), mode="replicate")
    across = d[..., 2:] - d[..., :-2]  # (B, 3, H + 2, W)
    down = d[..., 2:, :] - d[..., :-2, :]  # (B, 3, H, W + 2)
    gx = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 8
    gy = (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]) / 8
    return gx.abs().mean((1, 2, 3)) + gy.abs().mean((1, 2, 3))


def center(difference: Tensor) -> Tensor:
    """Σ m·|x̂ − x| / (3·Σ m), mean over images; m a centered Gaussian, σ = 0.35 of the side; given x̂ − x."""
    mask = _center_mask(difference.shape[-2], difference.shape[-1], difference.device)
    return (difference.abs() * mask).sum((1, 2, 3)).mean() / (3 * mask.sum())


@cache
def _center_mask(height: int, width: int, device: torch.device) -> Tensor:
    """(H, W), exp(−r²/2σ²), r the distance of a pixel's center from the middle, as a fraction of the side."""
    y = (torch.arange(height, device=device) + 0.5) / height - 0.5
    x = (torch.arange(width, device=device) + 0.5) / width - 0.5
    return torch.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / (2 * CENTER_SIGMA**2))
