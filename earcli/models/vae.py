"""The teacher: a variational autoencoder of ear crops."""

from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from earcli.config.teacher import TrainConfig
from earcli.models.decoder import EarDecoder
from earcli.models.encoder import EarEncoder, Posterior


class VAEOutput(NamedTuple):
    """The output of `EarVAE`.

    Attributes:
        reconstruction: (B, 3, S, S) in [-1, 1], decoded from `z`.
        posterior: q(z|x).
        z: (B, latent_dim).
    """

    reconstruction: Tensor
    posterior: Posterior
    z: Tensor


class EarVAE(nn.Module):
    """A ResNet variational autoencoder. Images are (B, 3, S, S) in [-1, 1], S = image_size.

    Args:
        latent_dim: Dimensions of the latent space.
        image_size: Side S in pixels, a multiple of 32 from 64 to 256.
        resnet_version: The encoder's backbone, `resnet18` to `resnet152`.
        freeze_layers: See `EarEncoder`.

    >>> model = EarVAE(latent_dim=8, image_size=64, resnet_version="resnet18").eval()
    >>> model(torch.zeros(2, 3, 64, 64)).reconstruction.shape
    torch.Size([2, 3, 64, 64])
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
        """Decodes a sample of the posterior in training mode, the posterior mean in eval mode."""
        posterior = self.encoder(images)
        z = posterior.sample(generator) if self.training else posterior.mu
        return VAEOutput(self.decoder(z), posterior, z)

    def encode(self, images: Tensor) -> Tensor:
        """The posterior mean, (B, latent_dim)."""
        mu: Tensor = self.encoder(images).mu
        return mu

    def decode(self, z: Tensor) -> Tensor:
        """The images of z (B, latent_dim), (B, 3, S, S) in [-1, 1]."""
        images: Tensor = self.decoder(z)
        return images

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Images of `count` samples of the prior N(0, I); `generator` must be on the model's device."""
        device = self.decoder.expand.weight.device
        return self.decode(torch.randn(count, self.latent_dim, generator=generator, device=device))

    @classmethod
    def untrained(cls, config: TrainConfig) -> Self:
        """The model that a configuration describes, with random weights."""
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
        """The teacher of a folder that `ear export` wrote as safetensors, in eval mode, on the CPU.

        Raises:
            CheckpointError: A file is missing or damaged, or the folder holds only a part of a teacher.
        """
        from earcli.checkpoints.safetensors_folder import load_teacher  # which imports this module

        return load_teacher(Path(folder))
