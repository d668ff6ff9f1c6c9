"""The backbone: a torchvision ResNet without pooling and classifier, as a feature pyramid."""

from collections.abc import Mapping
from typing import Self

import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from earcli.models.blocks import initialize_linear_range
from earcli.models.convolution import Conv3x3

STRIDES = (4, 8, 16, 32)


class Backbone(nn.Module):
    """Maps images (B, 3, H, W) in [-1, 1] to feature maps of stride 4, 8, 16 and 32.

    Args:
        resnet_version: A torchvision ResNet, `resnet18` to `resnet152`, with random weights.
        freeze_layers: 0 trains everything; k freezes the stem and layers 1 to k, with batch norms in eval mode.

    Attributes:
        channels: Of the four maps.
        frozen: The frozen modules.

    >>> import torch
    >>> {name: tuple(x.shape) for name, x in Backbone("resnet18").pyramid(torch.zeros(1, 3, 64, 64)).items()}
    {'stride4': (1, 64, 16, 16), 'stride8': (1, 128, 8, 8), 'stride16': (1, 256, 4, 4), 'stride32': (1, 512, 2, 2)}
    """

    def __init__(self, resnet_version: str, freeze_layers: int = 0) -> None:
        super().__init__()
        resnet = torchvision.models.get_model(resnet_version, weights=None, zero_init_residual=True)
        Conv3x3.replace_in(resnet)
        for module in resnet.modules():
            if isinstance(module, BasicBlock | Bottleneck) and module.downsample is not None:
                initialize_linear_range(module.downsample[1])
        self.stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.layers = nn.ModuleList([resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4])
        last = resnet.fc.in_features
        self.channels = (last // 8, last // 4, last // 2, last)
        self.freeze(freeze_layers)

    def load_backbone(self, state: Mapping[str, Tensor]) -> None:
        """Loads a state dict of the same torchvision ResNet, without its classifier."""
        names = {
            "conv1.": "stem.0.",
            "bn1.": "stem.1.",
            **{f"layer{n + 1}.": f"layers.{n}." for n in range(4)},
        }
        renamed = {
            names[p] + key.removeprefix(p): value for key, value in state.items() for p in names if key.startswith(p)
        }
        self.load_state_dict(renamed, strict=False)

    def freeze(self, freeze_layers: int) -> None:
        """Freezes the stem and the first `freeze_layers` layers; 0 unfreezes everything."""
        self.frozen = [self.stem, *self.layers[:freeze_layers]] if freeze_layers else []
        for module in (self.stem, *self.layers):
            module.requires_grad_(module not in self.frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def backbone_parameters(self) -> list[nn.Parameter]:
        """The parameters that pretrained weights initialize."""
        return [*self.stem.parameters(), *self.layers.parameters()]

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """The feature maps by name: `stride4`, `stride8`, `stride16`, `stride32`.

        Raises:
            ValueError: The shape is not (B, 3, H, W) with H and W multiples of 32.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % 32 or images.shape[3] % 32:
            raise ValueError(f"images must be (B, 3, H, W), H and W multiples of 32, got {tuple(images.shape)}")
        features = {}
        x = self.stem(images)
        for stride, layer in zip(STRIDES, self.layers, strict=True):
            features[f"stride{stride}"] = x = layer(x)
        return features
