"""The backbone: a trunk with the statistics of its input in front, as a feature pyramid by name."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from earcli.config.fields import TIMM
from earcli.errors import ConfigError
from earcli.models.timm_trunk import TimmTrunk
from earcli.models.trunk import STRIDES, SYMMETRIC, ResNetTrunk, Trunk

FREEZABLE = 4
"""The parts that can be frozen one after the other, after the stem."""


class Backbone(nn.Module):
    """Maps images (B, 3, H, W) in [-1, 1] to feature maps of stride 4, 8, 16 and 32.

    Args:
        encoder: A torchvision ResNet, `resnet18` to `resnet152`, or `timm:` and the name of a timm model; random
            weights.
        image_size: Side of the images in pixels.
        freeze_layers: 0 trains everything; k freezes the stem and the first k quarters of the trunk (of a ResNet,
            layers 1 to k), with batch norms in eval mode.
        encoder_size: Side to which a timm model's images are resized; 0 is that of the images.
        input_stats: `encoder` normalizes the input with the statistics that the trunk's pretrained weights expect;
            `none` leaves it in [-1, 1].

    Raises:
        ConfigError: There is no such encoder, it has no feature pyramid, or it takes no such size.

    Attributes:
        channels: Of the four maps.
        frozen: The frozen parameters.

    >>> {n: tuple(x.shape) for n, x in Backbone("resnet18", 64).pyramid(torch.zeros(1, 3, 64, 64)).items()}
    {'stride4': (1, 64, 16, 16), 'stride8': (1, 128, 8, 8), 'stride16': (1, 256, 4, 4), 'stride32': (1, 512, 2, 2)}
    """

    input_mean: Tensor
    input_deviation: Tensor

    def __init__(
        self,
        encoder: str,
        image_size: int,
        freeze_layers: int = 0,
        encoder_size: int = 0,
        input_stats: str = "none",
    ) -> None:
        super().__init__()
        self.trunk: Trunk = build_trunk(encoder, image_size, encoder_size)
        self.channels = self.trunk.channels
        statistics = self.trunk.statistics if input_stats == "encoder" else SYMMETRIC
        # of pixels in [-1, 1]; constants that follow from the configuration, so no part of the weights
        mean, deviation = (torch.tensor(values, device="cpu").view(3, 1, 1) for values in statistics)
        self.normalizes = statistics != SYMMETRIC
        self.register_buffer("input_mean", 2 * mean - 1, persistent=False)
        self.register_buffer("input_deviation", 2 * deviation, persistent=False)
        self.freeze(freeze_layers)

    def load_backbone(self, state: Mapping[str, Tensor]) -> None:
        """Loads what `earcli.checkpoints.pretrained.read_trunk` returned."""
        self.trunk.load_pretrained(state)

    def freeze(self, freeze_layers: int) -> None:
        """Freezes the stem and the first `freeze_layers` quarters of the trunk; 0 unfreezes everything."""
        layers = self.trunk.parameter_layers()
        count = 1 + round(freeze_layers * (len(layers) - 1) / FREEZABLE) if freeze_layers else 0
        self.trunk.requires_grad_(True)
        self.frozen = [parameter for layer in layers[:count] for parameter in layer]
        for parameter in self.frozen:
            parameter.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        frozen = {id(parameter) for parameter in self.frozen}
        for module in self.trunk.modules():
            own = list(module.parameters(recurse=False))
            if own and all(id(parameter) in frozen for parameter in own):
                module.training = False
        return self

    def backbone_parameters(self) -> list[nn.Parameter]:
        """The parameters that pretrained weights initialize."""
        return [parameter for layer in self.trunk.parameter_layers() for parameter in layer]

    def lr_scales(self, scale: float, decay: float) -> dict[int, float]:
        """Factors of the learning rate by the id of the parameters that pretrained weights initialize.

        Args:
            scale: Of the last layer.
            decay: Factor from a layer to the one before it (Clark et al. 2020, arXiv:2003.10555).
        """
        layers = self.trunk.parameter_layers()
        return {id(p): scale * decay ** (len(layers) - 1 - n) for n, layer in enumerate(layers) for p in layer}

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """The feature maps by name: `stride4`, `stride8`, `stride16`, `stride32`.

        Raises:
            ValueError: The shape is not (B, 3, H, W) with H and W multiples of 32.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % 32 or images.shape[3] % 32:
            raise ValueError(f"images must be (B, 3, H, W), H and W multiples of 32, got {tuple(images.shape)}")
        maps = self.trunk((images - self.input_mean) / self.input_deviation if self.normalizes else images)
        return {f"stride{stride}": x for stride, x in zip(STRIDES, maps, strict=True)}


def build_trunk(encoder: str, image_size: int, encoder_size: int = 0) -> Trunk:
    """The trunk of an encoder, with random weights; see `Backbone`."""
    if encoder.startswith(TIMM):
        return TimmTrunk(encoder, image_size, encoder_size)
    if encoder_size:
        raise ConfigError(f"`encoder_size` needs an encoder of timm, got {encoder}. Omit it.")
    return ResNetTrunk(encoder)
