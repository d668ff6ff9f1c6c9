"""The parts of a teacher that can be exported, each with named inputs and outputs."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from earcli.models.detector import EarDetector
from earcli.models.vae import EarVAE

PartName = Literal["encoder", "decoder", "vae", "features", "detector"]


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


class _Detector(nn.Module):
    def __init__(self, model: EarDetector) -> None:
        super().__init__()
        self.detector = model

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        boxes, keypoints = self.detector(images)
        return {"boxes": boxes, "keypoints": keypoints}


@dataclass(frozen=True)
class Part:
    """Something to export.

    Attributes:
        name: encoder, decoder, vae, features, detector.
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
    takes = "z" if name == "decoder" else "images"
    shape = (model.latent_dim,) if takes == "z" else (3, model.image_size, model.image_size)
    return _part(name, kinds[name](model), takes, shape)


def detector_part(model: EarDetector, side: int) -> Part:
    """A detector, in eval mode, on the CPU, for images of one size; confidence and visibility are logits."""
    return _part("detector", _Detector(model), "images", (3, side, side))


def _part(name: PartName, module: nn.Module, takes: str, shape: tuple[int, ...]) -> Part:
    module.eval().requires_grad_(False)
    example = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        outputs = tuple(module(example))
    return Part(name, module, takes, example, outputs)
