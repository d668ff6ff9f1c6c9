"""The parts of a model that can be exported, each with named inputs and outputs."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from earcli.models.detector import EarDetector
from earcli.models.laterality import mirror_where
from earcli.models.vae import EarVAE, decode_code, encode_images

PartName = Literal["encoder", "decoder", "vae", "features", "detector"]


class _Encoder(nn.Module):
    # the attributes have the names of EarVAE's, and so the weights do
    def __init__(self, model: EarVAE) -> None:
        super().__init__()
        self.encoder, self.skeleton, self.laterality = model.encoder, model.skeleton, model.laterality

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if self.laterality is None:
            return encode_images(self.encoder, self.skeleton, images)._asdict()
        left, right = self.laterality.to_left(images)
        return {**encode_images(self.encoder, self.skeleton, left)._asdict(), "right": right}


class _Decoder(nn.Module):
    def __init__(self, model: EarVAE) -> None:
        super().__init__()
        self.decoder, self.skeleton = model.decoder, model.skeleton

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        return {"reconstruction": decode_code(self.decoder, self.skeleton, z)[0]}


class _VAE(_Encoder):
    def __init__(self, model: EarVAE) -> None:
        super().__init__(model)
        self.decoder = model.decoder

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        outputs = super().forward(images)
        reconstruction, _ = decode_code(self.decoder, self.skeleton, outputs["mu"])
        if "right" in outputs:
            reconstruction = mirror_where(outputs["right"] > 0, reconstruction)
        return {"reconstruction": reconstruction, **outputs}


class _Features(nn.Module):
    def __init__(self, model: EarVAE) -> None:
        super().__init__()
        self.encoder = model.encoder

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
    """A part of a model to export.

    Attributes:
        name: encoder, decoder, vae, features or detector.
        module: In eval mode, without gradients; maps one tensor to tensors by name, deterministically.
        input: The name of its input: `images` (B, 3, S, S) in [-1, 1], or `z` (B, code_dim).
        example: An input of batch size 2.
        outputs: The names of its outputs, in order.
    """

    name: PartName
    module: nn.Module
    input: str
    example: Tensor
    outputs: tuple[str, ...]


def make_part(model: EarVAE, name: PartName) -> Part:
    """A part of a teacher on the CPU, in eval mode; it shares the weights of the model.

    >>> make_part(EarVAE(8, 64, "resnet18"), "encoder").outputs
    ('mu', 'logvar')
    """
    modules: dict[PartName, type[_Encoder | _Decoder | _VAE | _Features]]
    modules = {"encoder": _Encoder, "decoder": _Decoder, "vae": _VAE, "features": _Features}
    if name == "decoder":
        return _make(name, modules[name](model), "z", (model.code_dim,))
    return _make(name, modules[name](model), "images", (3, model.image_size, model.image_size))


def detector_part(model: EarDetector, side: int) -> Part:
    """A detector on the CPU, in eval mode, for images of `side` pixels; confidence and visibility are logits."""
    return _make("detector", _Detector(model), "images", (3, side, side))


def _make(name: PartName, module: nn.Module, input: str, shape: tuple[int, ...]) -> Part:
    module.eval().requires_grad_(False)
    attention: Any
    for attention in module.modules():
        if hasattr(attention, "fused_attn"):  # of timm; ONNX has none for SAM's, and computes the same from its parts
            attention.fused_attn = False
    example = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        outputs = tuple(module(example))
    return Part(name, module, input, example, outputs)
