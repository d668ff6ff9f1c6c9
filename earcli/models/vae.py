"""The teacher: a variational autoencoder of ear crops."""

from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from earcli.config.teacher import TrainConfig
from earcli.models.decoder import EarDecoder
from earcli.models.encoder import EarEncoder, Posterior


class VAEOutput(NamedTuple):
    """What one pass gives: the image decoded from `z`, (B, 3, S, S) in [-1, 1]; the posterior; z, (B, latent_dim)."""

    reconstruction: Tensor
    posterior: Posterior
    z: Tensor


class EarVAE(nn.Module):
    """A ResNet variational autoencoder. Images are (B, 3, S, S) in [-1, 1], S = image_size.

    Args:
        latent_dim: dimensions of the latent space.
        image_size: side S in pixels, a multiple of 32 from 64 to 256.
        resnet_version: the encoder's trunk, `resnet18` to `resnet152`.
        freeze_layers: see `EarEncoder`.
    """

    def __init__(
        self,
        latent_dim: int = 1024,
        image_size: int = 128,
        resnet_version: str = "resnet50",
        freeze_layers: int = 0,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.image_size = image_size
        self.encoder = EarEncoder(latent_dim, image_size, resnet_version, freeze_layers)
        self.decoder = EarDecoder(latent_dim, image_size, self.encoder.width)

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> VAEOutput:
        """Decodes a draw from the posterior in training mode, the posterior mean in eval mode."""
        posterior = self.encoder(images)
        z = posterior.sample(generator) if self.training else posterior.mu
        return VAEOutput(self.decoder(z), posterior, z)

    def encode(self, images: Tensor) -> Tensor:
        """The posterior mean, (B, latent_dim)."""
        mu: Tensor = self.encoder(images).mu
        return mu

    def decode(self, z: Tensor) -> Tensor:
        """The image of z (B, latent_dim)."""
        images: Tensor = self.decoder(z)
        return images

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Images of `count` draws from the prior N(0, I)."""
        device = self.decoder.expand.weight.device
        return self.decode(torch.randn(count, self.latent_dim, generator=generator, device=device))

    @classmethod
    def untrained(cls, config: TrainConfig) -> Self:
        """The model of a configuration, with random weights."""
        return cls(config.latent_dim, config.image_size, config.resnet_version, config.freeze_layers)

    @classmethod
    def load_from_checkpoint(cls, path: str | Path) -> "EarVAE":
        """The teacher of a training checkpoint, in eval mode, on the CPU; its averaged weights where it has them.

        Raises:
            CheckpointError: The file is missing, damaged, of another version or kind, or would run code.
        """
        from earcli.checkpoints.checkpoint import Checkpoint  # which imports this module

        return Checkpoint.open(path, "teacher").teacher()

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "EarVAE":
        """The teacher of a local folder that `ear export --format safetensors` wrote, in eval mode, on the CPU.

        Raises:
            CheckpointError: A file is missing or damaged, or the folder holds only a part of a teacher.
        """
        from earcli.checkpoints.safetensors_folder import load_teacher  # which imports this module

        return load_teacher(Path(folder))
