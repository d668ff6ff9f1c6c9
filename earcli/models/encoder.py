"""The encoder: a backbone, three adaptation stages, and the two heads of the posterior."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earcli.models.backbone import Backbone
from earcli.models.blocks import adaptation_stage, initialize_orthogonal
from earcli.randomness import draw

LOGVAR_RANGE = (-10.0, 10.0)
INITIAL_LOGVAR = -5.0
LATERAL_CHANNELS, LATERAL_RANK = 16, 64


class Posterior(NamedTuple):
    """The diagonal Gaussian q(z|x). Unpacks as `mu, logvar`, both (B, latent_dim), in fp32.

    >>> Posterior(torch.zeros(2, 4), torch.zeros(2, 4)).sample().shape
    torch.Size([2, 4])
    """

    mu: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A reparametrized sample (Kingma and Welling 2014, arXiv:1312.6114), (B, latent_dim)."""
        noise = draw(torch.randn, self.mu.shape, generator, device=self.mu.device, dtype=self.mu.dtype)
        return self.mu + torch.exp(0.5 * self.logvar) * noise


def base_width(backbone_channels: int) -> int:
    """The base width w: a quarter of the backbone's last channels C, but at least 256.

    The adaptation stages have C/2, w, w channels, the decoder w, w, w/2, w/4, w/8, w/16.

    >>> base_width(2048)  # of a ResNet-50
    512
    """
    return max(backbone_channels // 4, 256)


class EarEncoder(Backbone):
    """Maps images (B, 3, S, S) in [-1, 1] to a `Posterior` over latent_dim dimensions.

    A lateral connection (Lin et al. 2017, arXiv:1612.03144) adds a rank-64 linear map of the stride-8 features to the
    posterior mean, the counterpart of the decoder's sketch. It has 0.3% of the parameters and passes coarse layout and
    illumination on from the first step, while the deep layers learn the rest (`docs/benchmarks.md`).

    Args:
        latent_dim: Dimensions of the latent space.
        image_size: Side S in pixels, a multiple of 32.
        encoder: See `Backbone`, as of all that follow.
        freeze_layers: Quarters of the trunk to freeze.
        encoder_size: Side of a timm model's input.
        input_stats: `encoder` or `none`.

    >>> EarEncoder(8, 64, "resnet18")(torch.zeros(2, 3, 64, 64)).mu.shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        latent_dim: int,
        image_size: int,
        encoder: str,
        freeze_layers: int = 0,
        encoder_size: int = 0,
        input_stats: str = "none",
    ) -> None:
        super().__init__(encoder, image_size, freeze_layers, encoder_size, input_stats)
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
            initialize_orthogonal(*list(stage.children())[:2])
        flat = self.width * (image_size // 32) ** 2
        self.mu_head = nn.Linear(flat, latent_dim)
        self.logvar_head = nn.Linear(flat, latent_dim)
        # an initial σ of 0.08: with σ = 1 the noise would hide the mean for many steps
        nn.init.zeros_(self.logvar_head.weight)
        nn.init.constant_(self.logvar_head.bias, INITIAL_LOGVAR)
        self.lateral = _lateral_connection(self.channels[1], (image_size // 8) ** 2, latent_dim)

    def extract_features(self, images: Tensor) -> dict[str, Tensor]:
        """The feature maps by name: `stride4`, `stride8`, `stride16`, `stride32`, `adapt1`, `adapt2`, `adapt3`.

        The adapted maps have stride 32. A ResNet-50 gives 256, 512, 1024, 2048, 1024, 512, 512 channels.

        Raises:
            ValueError: The shape is not (B, 3, H, W) with H and W multiples of 32.
        """
        features = self.pyramid(images)
        x = features["stride32"]
        for number, stage in enumerate(self.adapt, 1):
            features[f"adapt{number}"] = x = stage(x)
        return features

    def mean(self, features: Mapping[str, Tensor]) -> Tensor:
        """The posterior mean, (B, latent_dim), from the result of `extract_features`.

        Feature maps of another image size than the encoder's are resized to that size.
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


def _lateral_connection(channels: int, positions: int, latent_dim: int) -> nn.Sequential:
    """A linear map of rank 64 from a feature map with `channels` and `positions` to the posterior mean."""
    project = nn.Conv2d(channels, LATERAL_CHANNELS, 1)
    reduce = nn.Linear(LATERAL_CHANNELS * positions, LATERAL_RANK, bias=False)
    expand = nn.Linear(LATERAL_RANK, latent_dim, bias=False)
    for linear in (project, reduce, expand):
        nn.init.orthogonal_(linear.weight)
    return nn.Sequential(project, nn.Flatten(), reduce, expand)
