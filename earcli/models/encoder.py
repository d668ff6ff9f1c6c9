"""The encoder: a ResNet trunk, three adaptation stages, and the two heads of the posterior."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earcli.models.blocks import adaptation_stage, start_nearly_linear
from earcli.models.trunk import Trunk
from earcli.randomness import draw

LOGVAR_RANGE = (-10.0, 10.0)
FIRST_LOGVAR = -5.0
LATERAL_CHANNELS, LATERAL_RANK = 16, 64


class Posterior(NamedTuple):
    """The diagonal Gaussian q(z|x). Unpacks as `mu, logvar`, both (B, latent_dim), in fp32."""

    mu: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A draw by the reparametrization trick (Kingma and Welling 2014, arXiv:1312.6114), (B, latent_dim)."""
        noise = draw(torch.randn, self.mu.shape, generator, device=self.mu.device, dtype=self.mu.dtype)
        return self.mu + torch.exp(0.5 * self.logvar) * noise


def base_width(trunk_channels: int) -> int:
    """The width w that the other widths follow: a quarter of the trunk's channels C, but at least 256.

    The adaptation stages have C/2, w, w channels, the decoder w, w, w/2, w/4, w/8, w/16; w is 512 on a ResNet-50.
    """
    return max(trunk_channels // 4, 256)


class EarEncoder(Trunk):
    """Maps images (B, 3, S, S) in [-1, 1] to a `Posterior` over latent_dim dimensions.

    A lateral connection (as Lin et al. 2017, arXiv:1612.03144, name it) adds a linear map of rank 64 of the stride-8
    features to the posterior mean, as the decoder's sketch skips its stages. It costs 0.3% of the parameters, and lets
    coarse layout and light pass from the first step, while depth learns the rest (`docs/benchmarks.md`).

    Args:
        latent_dim: dimensions of the latent space.
        image_size: side S in pixels, a multiple of 32.
        resnet_version: a torchvision ResNet, `resnet18` to `resnet152`, with random weights.
        freeze_layers: 0 trains everything; k keeps the stem and layers 1 to k as they are, batch norms in eval.
    """

    def __init__(self, latent_dim: int, image_size: int, resnet_version: str, freeze_layers: int = 0) -> None:
        super().__init__(resnet_version, freeze_layers)
        self.image_size = image_size
        channels = self.channels[-1]
        self.width = base_width(channels)
        self.adapt = nn.ModuleList(
            [
                adaptation_stage(channels, channels // 2, 7, residual=True),
                adaptation_stage(channels // 2, self.width, 5, residual=True),
                adaptation_stage(self.width, self.width, 3, residual=False),
            ]
        )
        for stage in self.adapt.children():
            start_nearly_linear(*list(stage.children())[:2])
        flat = self.width * (image_size // 32) ** 2
        self.mu_head = nn.Linear(flat, latent_dim)
        self.logvar_head = nn.Linear(flat, latent_dim)
        # a posterior of σ = 0.08 lets the code through from the first step; σ = 1 would drown it for many
        nn.init.zeros_(self.logvar_head.weight)
        nn.init.constant_(self.logvar_head.bias, FIRST_LOGVAR)
        self.lateral = lateral(self.channels[1], (image_size // 8) ** 2, latent_dim)

    def extract_features(self, images: Tensor) -> dict[str, Tensor]:
        """The pyramid by name: `stride4`, `stride8`, `stride16`, `stride32`, `adapt1`, `adapt2`, `adapt3`.

        The adapted maps have stride 32. Channels are 256, 512, 1024, 2048, 1024, 512, 512 on a ResNet-50.

        Raises:
            ValueError: images of another shape than (B, 3, H, W) with H and W multiples of 32.
        """
        features = self.pyramid(images)
        x = features["stride32"]
        for number, stage in enumerate(self.adapt, 1):
            features[f"adapt{number}"] = x = stage(x)
        return features

    def mean(self, features: Mapping[str, Tensor]) -> Tensor:
        """The posterior mean, (B, latent_dim), from what `extract_features` gave.

        Maps of images of another size than the encoder's are resized to the maps that it knows.
        """
        last, fine = (
            _resized(features[name], self.image_size // stride) for name, stride in (("adapt3", 32), ("stride8", 8))
        )
        mean: Tensor = self.mu_head(last.flatten(1)).float() + self.lateral(fine).float()
        return mean

    def forward(self, images: Tensor) -> Posterior:
        features = self.extract_features(images)
        logvar = self.logvar_head(features["adapt3"].flatten(1)).float()
        return Posterior(self.mean(features), logvar.clamp(*LOGVAR_RANGE))


def _resized(maps: Tensor, side: int) -> Tensor:
    if maps.shape[2] == maps.shape[3] == side:
        return maps
    return F.interpolate(maps, (side, side), mode="bilinear", align_corners=False)


def lateral(channels: int, positions: int, latent_dim: int) -> nn.Sequential:
    """A linear map of rank 64 from features of `channels` at `positions` positions to the posterior mean."""
    pick = nn.Conv2d(channels, LATERAL_CHANNELS, 1)
    shrink = nn.Linear(LATERAL_CHANNELS * positions, LATERAL_RANK, bias=False)
    widen = nn.Linear(LATERAL_RANK, latent_dim, bias=False)
    for linear in (pick, shrink, widen):
        nn.init.orthogonal_(linear.weight)
    return nn.Sequential(pick, nn.Flatten(), shrink, widen)
