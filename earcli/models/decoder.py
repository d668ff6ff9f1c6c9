"""The decoder: from a latent vector to an image in five upsampling stages."""

import torch.nn.functional as F
from torch import Tensor, nn

from earcli.models.blocks import upsample_stage


class EarDecoder(nn.Module):
    """Maps z (B, latent_dim) to images (B, 3, S, S) in [-1, 1], S = image_size.

    A linear map gives a sketch of S/8 × S/8 pixels, which bypasses the five stages and is upsampled and added to their
    output. It has under 1% of the parameters and makes training start: without it, the gradient through the stages has
    one direction, brightness, and the encoder's features collapse onto it (`docs/benchmarks.md`).

    Args:
        latent_dim: Dimensions of the latent space.
        image_size: Side S in pixels, a multiple of 32.
        width: Channels w of the first map, (B, w, S/32, S/32); see `earcli.models.encoder.base_width`.

    >>> import torch
    >>> EarDecoder(8, 64, 256)(torch.zeros(2, 8)).shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, latent_dim: int, image_size: int, width: int) -> None:
        super().__init__()
        self.grid = (width, image_size // 32, image_size // 32)
        self.channels = (width, width // 2, width // 4, width // 8, width // 16)
        self.expand = nn.Linear(latent_dim, width * self.grid[1] * self.grid[2])
        self.stages = nn.Sequential(
            upsample_stage(width, width, residual=True),
            upsample_stage(width, width // 2, residual=True),
            upsample_stage(width // 2, width // 4, residual=True),
            upsample_stage(width // 4, width // 8, residual=True),
            upsample_stage(width // 8, width // 16, residual=False),
        )
        self.to_rgb = nn.Conv2d(width // 16, 3, 3, padding=1)
        nn.init.zeros_(self.to_rgb.weight)  # at first the image is the sketch
        self.sketch_side = image_size // 8
        self.sketch = nn.Linear(latent_dim, 3 * self.sketch_side**2)

    def maps(self, z: Tensor, count: int = 5) -> list[Tensor]:
        """Outputs of the first `count` stages: sides S/16, S/8, S/4, S/2, S; channels w, w/2, w/4, w/8, w/16."""
        x = self.expand(z).view(-1, *self.grid)  # (B, w, S/32, S/32)
        result = []
        for stage in self.stages[:count]:
            x = stage(x)
            result.append(x)
        return result

    def forward(self, z: Tensor) -> Tensor:
        sketch = self.sketch(z).view(-1, 3, self.sketch_side, self.sketch_side)
        sketch = F.interpolate(sketch, scale_factor=8, mode="bilinear", align_corners=False)  # (B, 3, S, S)
        image: Tensor = self.to_rgb(self.maps(z)[-1]) + sketch
        return image.tanh()
