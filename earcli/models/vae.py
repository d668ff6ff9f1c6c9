"""The teacher: a variational autoencoder of ear crops."""

from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from earcli.config.teacher import TrainConfig
from earcli.models.decoder import EarDecoder
from earcli.models.encoder import EarEncoder, Posterior
from earcli.models.laterality import Laterality, mirror_where
from earcli.models.skeleton import Skeleton


class VAEOutput(NamedTuple):
    """The output of `EarVAE`.

    Attributes:
        reconstruction: (B, 3, S, S) in [-1, 1], decoded from `z`.
        posterior: q(z|x).
        z: (B, code_dim).
        deep: What the networks decode without the skeleton, (B, 3, S, S) in [-1, 1].
    """

    reconstruction: Tensor
    posterior: Posterior
    z: Tensor
    deep: Tensor


class EarVAE(nn.Module):
    """A variational autoencoder with a skeleton. Images are (B, 3, S, S) in [-1, 1], S = image_size.

    A code has code_dim = skeleton_dim + latent_dim dimensions: the whitened scores of the skeleton, which are linear in
    the pixels, and what the encoder learns. The decoder makes a whole ear of the learned dimensions alone, the deep
    image. The reconstruction is the skeleton's image plus what the deep image has beyond the skeleton's components, so
    each part adds what the other lacks.

    With `mirror_right`, right ears are mirrored before they are encoded, so that all codes are those of left ears, and
    their reconstructions are mirrored back.

    Args:
        latent_dim: Learned dimensions of the latent space.
        image_size: Side S in pixels, a multiple of 32 from 64 to 256.
        encoder: The encoder's trunk, `resnet18` to `resnet152` or `timm:NAME`.
        freeze_layers: See `Backbone`, as of `encoder_size` and `input_stats`.
        skeleton_dim: Components of the skeleton; 0 has none.
        mirror_right: Whether the model estimates which ears are right ones, and mirrors them.
        encoder_size: Side of a timm model's input.
        input_stats: `encoder` or `none`.

    Raises:
        ConfigError: There is no such encoder, or it takes no such size.

    >>> model = EarVAE(latent_dim=8, image_size=64, encoder="resnet18").eval()
    >>> model(torch.zeros(2, 3, 64, 64)).reconstruction.shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(
        self,
        latent_dim: int = 1024,
        image_size: int = 128,
        encoder: str = "resnet50",
        freeze_layers: int = 0,
        skeleton_dim: int = 0,
        mirror_right: bool = False,
        encoder_size: int = 0,
        input_stats: str = "none",
    ) -> None:
        super().__init__()
        self.latent_dim, self.skeleton_dim = latent_dim, skeleton_dim
        self.image_size = image_size
        self.encoder = EarEncoder(latent_dim, image_size, encoder, freeze_layers, encoder_size, input_stats)
        self.decoder = EarDecoder(latent_dim, image_size, self.encoder.width)
        self.skeleton = Skeleton(skeleton_dim, image_size) if skeleton_dim else None
        self.laterality = Laterality() if mirror_right else None

    @property
    def code_dim(self) -> int:
        """Dimensions of a code, skeleton_dim + latent_dim."""
        return self.skeleton_dim + self.latent_dim

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> VAEOutput:
        """Decodes a sample of the posterior in training mode, the posterior mean in eval mode."""
        if self.laterality is None:
            return self.autoencode(images, generator)
        left, logits = self.laterality.to_left(images)
        output, right = self.autoencode(left, generator), logits > 0
        return output._replace(
            reconstruction=mirror_where(right, output.reconstruction), deep=mirror_where(right, output.deep)
        )

    def autoencode(self, images: Tensor, generator: torch.Generator | None = None) -> VAEOutput:
        """Like `forward`, for images that are known to show left ears, or the ears of a model that mirrors none."""
        posterior = encode_images(self.encoder, self.skeleton, images)
        z = posterior.sample(generator) if self.training else posterior.mu
        reconstruction, deep = decode_code(self.decoder, self.skeleton, z)
        return VAEOutput(reconstruction, posterior, z, deep)

    def posterior(self, images: Tensor) -> Posterior:
        """q(z|x) over code_dim dimensions; images (B, 3, S, S)."""
        left = images if self.laterality is None else self.laterality.to_left(images)[0]
        return encode_images(self.encoder, self.skeleton, left)

    def encode(self, images: Tensor) -> Tensor:
        """The posterior mean, (B, code_dim)."""
        return self.posterior(images).mu

    def decode(self, z: Tensor) -> Tensor:
        """The images of z (B, code_dim), (B, 3, S, S) in [-1, 1]; not clamped in training mode.

        They show left ears if the model mirrors right ones.
        """
        return decode_code(self.decoder, self.skeleton, z)[0]

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Images of `count` samples of the prior N(0, I); `generator` must be on the model's device."""
        device = self.decoder.expand.weight.device
        return self.decode(torch.randn(count, self.code_dim, generator=generator, device=device))

    @classmethod
    def untrained(cls, config: TrainConfig) -> Self:
        """The model that a configuration describes, with random weights."""
        return cls(
            config.latent_dim,
            config.image_size,
            config.encoder,
            config.freeze_layers,
            config.skeleton_dim,
            config.mirrors_right,
            config.encoder_size,
            config.input_stats,
        )

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


def encode_images(encoder: EarEncoder, skeleton: Skeleton | None, images: Tensor) -> Posterior:
    """The posterior of images (B, 3, S, S): the skeleton's dimensions first, then those of the encoder."""
    learned: Posterior = encoder(images)
    if skeleton is None:
        return learned
    scores = skeleton.scores(images)
    logvar = torch.cat([skeleton.logvar.expand_as(scores), learned.logvar], 1)
    return Posterior(torch.cat([scores, learned.mu], 1), logvar)


def decode_code(decoder: EarDecoder, skeleton: Skeleton | None, z: Tensor) -> tuple[Tensor, Tensor]:
    """The reconstruction and the deep image of codes, (B, 3, S, S) each.

    The reconstruction is in [-1, 1] in eval mode; in training mode it is not clamped, so that every pixel has a
    gradient.
    """
    if skeleton is None:
        deep: Tensor = decoder(z)
        return deep, deep
    scores, learned = z[:, : len(skeleton.deviations)], z[:, len(skeleton.deviations) :]
    deep = decoder(learned)
    images = skeleton.image(scores) + skeleton.complement(deep)
    return (images if skeleton.training else images.clamp(-1, 1)), deep
