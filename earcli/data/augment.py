"""Batched augmentation on tensors, on whatever device they are."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Strength:
    """How far each change goes; every picture draws its own, uniformly.

    Attributes:
        rotate: degrees, either way.
        zoom: share of the size, either way.
        shift: share of the side, either way.
        brightness, contrast, colour: share, either way; colour scales red, green and blue apart.
    """

    rotate: float
    zoom: float
    shift: float
    brightness: float
    contrast: float
    colour: float


STRENGTHS = {
    "none": None,
    "light": Strength(rotate=8, zoom=0.08, shift=0.04, brightness=0.1, contrast=0.1, colour=0.0),
    "strong": Strength(rotate=20, zoom=0.2, shift=0.1, brightness=0.3, contrast=0.3, colour=0.1),
}


def augment(images: Tensor, strength: Strength | None, generator: torch.Generator) -> Tensor:
    """Flips, turns, zooms, shifts, and changes light; (B, 3, S, S) in [-1, 1], fp32, in and out.

    Args:
        strength: see `STRENGTHS`; None returns the images as they are.
        generator: on the images' device; the same state gives the same result.
    """
    if strength is None:
        return images
    count, device = len(images), images.device

    def draw(reach: float, columns: int = 1) -> Tensor:
        return (torch.rand(count, columns, generator=generator, device=device) * 2 - 1) * reach

    flip = torch.where(torch.rand(count, 1, generator=generator, device=device) < 0.5, -1.0, 1.0)
    angle, zoom = draw(math.radians(strength.rotate)), 1 + draw(strength.zoom)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    shift = draw(2 * strength.shift, 2)  # the grid is two units wide
    theta = torch.stack(
        [torch.cat([cos * flip, -sin, shift[:, :1]], 1), torch.cat([sin * flip, cos, shift[:, 1:]], 1)], 1
    )  # (B, 2, 3)
    grid = affine_grid(theta, images.shape[-1])
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    gain = (1 + draw(strength.contrast)) * (1 + draw(strength.colour, 3))  # (B, 3)
    offset = draw(2 * strength.brightness)
    return (images * gain[:, :, None, None] + offset[:, :, None, None]).clamp(-1, 1)


def affine_grid(theta: Tensor, side: int) -> Tensor:
    """What `F.affine_grid(theta, (B, C, side, side), align_corners=False)` gives, as one sum instead of a product.

    Args:
        theta: (B, 2, 3).

    Returns:
        (B, side, side, 2), x and y in [-1, 1].
    """
    centres = (2 * torch.arange(side, device=theta.device) + 1) / side - 1
    along_x = centres[None, None, :, None] * theta[:, None, None, :, 0]  # (B, 1, side, 2)
    along_y = centres[None, :, None, None] * theta[:, None, None, :, 1]  # (B, side, 1, 2)
    return along_x + (along_y + theta[:, None, None, :, 2])
