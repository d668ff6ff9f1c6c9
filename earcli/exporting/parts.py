"""The parts of a teacher that can be exported, each with named inputs and outputs."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from earcli.models.vae import EarVAE

PartName = Literal["encoder", "decoder", "vae", "features"]


class _Encoder(nn.Module):
    # the attributes are called as in EarVAE, so that the weights keep their names
    def __init__(self, model: EarVAE) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        mu, logvar = self.encoder(images)
        return {"mu": mu, "logvar": logvar}


class _Decoder(nn.Module):
    def __init__(self, model: EarVAE) -> None:
        super().__init__()
        self.decoder = model.decoder

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        return {"reconstruction": self.decoder(z)}


class _VAE(nn.Module):
    def __init__(self, model: EarVAE) -> None:
        super().__init__()
        self.encoder, self.decoder = model.encoder, model.decoder

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        mu, logvar = self.encoder(images)
        return {"reconstruction": self.decoder(mu), "mu": mu, "logvar": logvar}


class _Features(_Encoder):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.encoder.extract_features(images)


@dataclass(frozen=True)
class Part:
    """Something to export.

    Attributes:
        name: encoder, decoder, vae, features.
        module: in eval mode; takes one tensor, returns tensors by name. No output is a random draw.
        input: the name of what it takes: `images` (B, 3, S, S) in [-1, 1], or `z` (B, latent_dim).
        example: an input of batch 2.
        outputs: names, in order.
    """

    name: PartName
    module: nn.Module
    input: str
    example: Tensor
    outputs: tuple[str, ...]


def make_part(model: EarVAE, name: PartName) -> Part:
    """A part of a model, in eval mode, on the CPU; it shares the model's weights."""
    kinds: dict[PartName, type[_Encoder | _Decoder | _VAE]]
    kinds = {"encoder": _Encoder, "decoder": _Decoder, "vae": _VAE, "features": _Features}
    module = kinds[name](model).eval().requires_grad_(False)
    takes = "z" if name == "decoder" else "images"
    shape = (model.latent_dim,) if takes == "z" else (3, model.image_size, model.image_size)
    example = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        outputs = tuple(module(example))
    return Part(name, module, takes, example, outputs)
