"""Similarity of two images. Images are (B, 3, H, W) in [0, 1]; results are one number per image, (B,), in fp32."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
MIN_MSE = 1e-10


def to_unit(images: Tensor) -> Tensor:
    """Maps [-1, 1] to [0, 1], in fp32."""
    return (images.float() + 1) / 2


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared error of each image."""
    return (a.float() - b.float()).square().mean((1, 2, 3))


def psnr_from_mse(error: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB for data range 1: −10·log10(MSE), at most 100.

    Two identical images would have an infinite ratio, and so would every mean that includes them. Rounding to 8 bits
    alone limits the ratio to 59 dB.

    >>> psnr_from_mse(torch.tensor([0.01, 0.0])).tolist()
    [20.0, 100.0]
    """
    return -10 * torch.log10(error.clamp(min=MIN_MSE))


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, data range 1.

    >>> psnr(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1)).round(decimals=3).tolist()
    [20.0]
    """
    return psnr_from_mse(mse(a, b))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004, doi:10.1109/TIP.2003.819861), data range 1.

    An 11×11 Gaussian window of σ = 1.5, K1 = 0.01, K2 = 0.03, reflection padding, mean over channels and positions:
    the defaults of torchmetrics.

    >>> ssim(torch.ones(1, 3, 16, 16), torch.ones(1, 3, 16, 16)).tolist()
    [1.0]
    """
    a, b = a.float(), b.float()
    with torch.autocast(a.device.type, enabled=False):  # variances are small differences, which bf16 loses
        rows = _window_matrix(a.shape[-2], a.device)  # (H, H)
        columns = _window_matrix(a.shape[-1], a.device).T

        def blur(x: Tensor) -> Tensor:
            # two banded matrices: the same sums as a convolution, and faster on every device
            return rows @ x @ columns

        mean_a, mean_b = blur(a), blur(b)
        mean_aa, mean_bb, mean_ab = mean_a.square(), mean_b.square(), mean_a * mean_b
        var_a, var_b = blur(a * a) - mean_aa, blur(b * b) - mean_bb
        covariance = blur(a * b) - mean_ab
        c1, c2 = 0.01**2, 0.03**2
        luminance = (2 * mean_ab + c1) / (mean_aa + mean_bb + c1)
        structure = (2 * covariance + c2) / (var_a.clamp(min=0) + var_b.clamp(min=0) + c2)
        return (luminance * structure).mean((1, 2, 3))


@cache
def _window_matrix(size: int, device: torch.device) -> Tensor:
    """(size, size): row i holds the weights of a Gaussian window around position i, reflected at the borders."""
    radius = SSIM_WINDOW // 2
    offsets = torch.arange(-radius, radius + 1, device=device)
    window = torch.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    window = window / window.sum()
    mirrored = F.pad(torch.eye(size, device=device)[None], (radius, radius), mode="reflect")[0]  # (size, size + 10)
    return F.conv1d(mirrored[:, None], window[None, None])[:, 0].T.contiguous()
