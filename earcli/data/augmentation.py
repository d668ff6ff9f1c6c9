"""Batched augmentation of tensors, on any device."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from earcli.randomness import draw


@dataclass(frozen=True)
class AugmentationStrength:
    """Limits of each random change; every image samples its own, uniformly from −limit to limit.

    Attributes:
        rotate: Degrees.
        zoom: Fraction of the size.
        shift: Fraction of the side.
        brightness: Fraction of the range of values.
        contrast: Fraction of the contrast.
        color: Like `contrast`, for red, green and blue separately.
    """

    rotate: float
    zoom: float
    shift: float
    brightness: float
    contrast: float
    color: float


STRENGTHS = {
    "none": None,
    "light": AugmentationStrength(rotate=8, zoom=0.08, shift=0.04, brightness=0.1, contrast=0.1, color=0.0),
    "strong": AugmentationStrength(rotate=20, zoom=0.2, shift=0.1, brightness=0.3, contrast=0.3, color=0.1),
}


def augment(
    images: Tensor, strength: AugmentationStrength | None, generator: torch.Generator, *, flips: bool = True
) -> Tensor:
    """Random flip, rotation, zoom, shift, contrast, color and brightness, with reflection padding.

    Args:
        images: (B, 3, S, S) in [-1, 1], fp32; the result has the same shape and range.
        strength: See `STRENGTHS`; None returns the images unchanged.
        generator: On the images' device; the same state gives the same result.
        flips: Whether to mirror half of the images.

    >>> augment(torch.zeros(2, 3, 64, 64), STRENGTHS["light"], torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 64, 64])
    """
    if strength is None:
        return images
    grid = reflect_grid(affine_grid(sample_pose(len(images), strength, generator, flips=flips), images.shape[-1]))
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return jitter_light(images, strength, generator)


def sample_pose(
    count: int, strength: AugmentationStrength, generator: torch.Generator, *, flips: bool = True
) -> Tensor:
    """A random flip, rotation, zoom and shift for each of `count` images.

    Returns:
        (count, 2, 3), maps from output to input coordinates, for `affine_grid`.
    """
    flip = torch.ones(count, 1, device=generator.device)
    if flips:
        flip[draw(torch.rand, (count, 1), generator, device=generator.device) < 0.5] = -1
    angle = _uniform(count, math.radians(strength.rotate), generator)
    zoom = 1 + _uniform(count, strength.zoom, generator)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    shift = _uniform(count, 2 * strength.shift, generator, 2)  # the grid is two units wide
    rows = [torch.cat([cos * flip, -sin, shift[:, :1]], 1), torch.cat([sin * flip, cos, shift[:, 1:]], 1)]
    return torch.stack(rows, 1)


def jitter_light(images: Tensor, strength: AugmentationStrength, generator: torch.Generator) -> Tensor:
    """Randomly changes contrast, color and brightness of images (B, 3, H, W) in [-1, 1]."""
    count = len(images)
    gain = 1 + _uniform(count, strength.contrast, generator)
    gain = gain * (1 + _uniform(count, strength.color, generator, 3))  # (B, 3)
    offset = _uniform(count, 2 * strength.brightness, generator)
    return (images * gain[:, :, None, None]).add_(offset[:, :, None, None]).clamp_(-1, 1)


def _uniform(count: int, limit: float, generator: torch.Generator, columns: int = 1) -> Tensor:
    """(count, columns), uniform from −limit to limit."""
    return (draw(torch.rand, (count, columns), generator, device=generator.device) * 2 - 1) * limit


def affine_grid(theta: Tensor, side: int) -> Tensor:
    """Equals `F.affine_grid(theta, (B, C, side, side), align_corners=False)`, as a broadcast sum, which is faster.

    Args:
        theta: (B, 2, 3).
        side: Height and width of the output in pixels.

    Returns:
        (B, side, side, 2), x and y, [-1, 1] within the image; x and y are separate planes in memory.
    """
    centers = torch.linspace(1 / side - 1, 1 - 1 / side, side, device=theta.device)
    along_x = theta[:, :, :1] * centers  # (B, 2, side)
    along_y = theta[:, :, 1:2] * centers + theta[:, :, 2:]
    return (along_x[:, :, None, :] + along_y[:, :, :, None]).permute(0, 2, 3, 1)


def reflect_grid(grid: Tensor) -> Tensor:
    """Reflects coordinates outside [-1, 1] at the border, for distances up to the size of the image.

    `padding_mode="reflection"` of `grid_sample` allows any distance, but takes twice as long on a CPU.

    >>> reflect_grid(torch.tensor([0.5, 1.25])).tolist()
    [0.5, 0.75]
    """
    return grid.clamp(-1, 1).mul_(2).sub_(grid)
