"""Batched augmentation on tensors, on whatever device they are."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from earcli.randomness import draw


@dataclass(frozen=True)
class Strength:
    """How far each change goes; every picture draws its own, uniformly.

    Attributes:
        rotate: degrees, either way.
        zoom: share of the size, either way.
        shift: share of the side, either way.
        brightness, contrast, color: share, either way; color scales red, green and blue apart.
    """

    rotate: float
    zoom: float
    shift: float
    brightness: float
    contrast: float
    color: float


STRENGTHS = {
    "none": None,
    "light": Strength(rotate=8, zoom=0.08, shift=0.04, brightness=0.1, contrast=0.1, color=0.0),
    "strong": Strength(rotate=20, zoom=0.2, shift=0.1, brightness=0.3, contrast=0.3, color=0.1),
}


def augment(images: Tensor, strength: Strength | None, generator: torch.Generator) -> Tensor:
    """Flips, turns, zooms, shifts, and changes light; (B, 3, S, S) in [-1, 1], fp32, in and out.

    What comes in from beyond a border is the picture, mirrored.

    Args:
        strength: see `STRENGTHS`; None returns the images as they are.
        generator: on the images' device; the same state gives the same result.
    """
    if strength is None:
        return images
    grid = mirrored(affine_grid(draw_pose(len(images), strength, generator), images.shape[-1]))
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return relight(images, strength, generator)


def draw_pose(count: int, strength: Strength, generator: torch.Generator) -> Tensor:
    """A flip, turn, zoom and shift for each of `count` pictures: where in it every place of the result comes from.

    Returns:
        (count, 2, 3), for `affine_grid`.
    """
    flip = torch.where(draw(torch.rand, (count, 1), generator, device=generator.device) < 0.5, -1.0, 1.0)
    angle = _draw(count, math.radians(strength.rotate), generator)
    zoom = 1 + _draw(count, strength.zoom, generator)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    shift = _draw(count, 2 * strength.shift, generator, 2)  # the grid is two units wide
    rows = [torch.cat([cos * flip, -sin, shift[:, :1]], 1), torch.cat([sin * flip, cos, shift[:, 1:]], 1)]
    return torch.stack(rows, 1)


def relight(images: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """Changes contrast, color and brightness of images in [-1, 1], each by its own draw."""
    count = len(images)
    gain = 1 + _draw(count, strength.contrast, generator)
    gain = gain * (1 + _draw(count, strength.color, generator, 3))  # (B, 3)
    offset = _draw(count, 2 * strength.brightness, generator)
    return (images * gain[:, :, None, None]).add_(offset[:, :, None, None]).clamp_(-1, 1)


def _draw(count: int, reach: float, generator: torch.Generator, columns: int = 1) -> Tensor:
    """(count, columns), uniform from −reach to reach."""
    return (draw(torch.rand, (count, columns), generator, device=generator.device) * 2 - 1) * reach


def affine_grid(theta: Tensor, side: int) -> Tensor:
    """What `F.affine_grid(theta, (B, C, side, side), align_corners=False)` gives, as one sum of rows and columns.

    Args:
        theta: (B, 2, 3).

    Returns:
        (B, side, side, 2), x and y, [-1, 1] within the picture; each of the two is a plane in memory.
    """
    centers = torch.linspace(1 / side - 1, 1 - 1 / side, side, device=theta.device)
    along_x = theta[:, :, :1] * centers  # (B, 2, side)
    along_y = theta[:, :, 1:2] * centers + theta[:, :, 2:]
    return (along_x[:, :, None, :] + along_y[:, :, :, None]).permute(0, 2, 3, 1)


def mirrored(grid: Tensor) -> Tensor:
    """Coordinates beyond [-1, 1] mirrored at the border, for distances of up to a whole picture.

    `grid_sample` mirrors too, but for any distance, which takes a CPU twice as long.
    """
    return grid.clamp(-1, 1).mul_(2).sub_(grid)
