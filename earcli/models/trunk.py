"""The trunk of an encoder: a network that makes a pyramid of feature maps, and what each kind of trunk needs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from earcli.models.blocks import initialize_linear_range
from earcli.models.convolution import Conv3x3

STRIDES = (4, 8, 16, 32)


class InputStatistics(NamedTuple):
    """Mean and standard deviation of the channels red, green and blue, of pixels in [0, 1]."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


SYMMETRIC = InputStatistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Those that leave images in [-1, 1] as they are."""
IMAGENET = InputStatistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Of ImageNet, as in He et al. 2016 (arXiv:1512.03385) and torchvision."""


class Trunk(nn.Module, ABC):
    """Maps images (B, 3, H, W), H and W multiples of 32, to maps of stride 4, 8, 16 and 32.

    Attributes:
        channels: Of the four maps.
        statistics: Of the inputs that pretrained weights expect.
    """

    channels: tuple[int, int, int, int]
    statistics: InputStatistics

    @abstractmethod
    def forward(self, images: Tensor) -> list[Tensor]: ...

    @abstractmethod
    def parameter_layers(self) -> list[list[nn.Parameter]]:
        """The parameters that pretrained weights initialize, by layer, from the input to the output."""

    @abstractmethod
    def blocks(self) -> list[nn.Module]:
        """The parts whose activations can be recomputed from their inputs."""

    @abstractmethod
    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        """Loads what `earcli.checkpoints.pretrained.read_trunk` returned for this encoder."""


class ResNetTrunk(Trunk):
    """A torchvision ResNet without pooling and classifier, with random weights.

    Args:
        version: `resnet18` to `resnet152`.
    """

    statistics = IMAGENET

    def __init__(self, version: str) -> None:
        super().__init__()
        resnet = torchvision.models.get_model(version, weights=None, zero_init_residual=True)
        Conv3x3.replace_in(resnet)
        for module in resnet.modules():
            if isinstance(module, BasicBlock | Bottleneck) and module.downsample is not None:
                initialize_linear_range(module.downsample[1])
        self.stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.layers = nn.ModuleList([resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4])
        last = resnet.fc.in_features
        self.channels = (last // 8, last // 4, last // 2, last)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = []
        x = self.stem(images)
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps

    def parameter_layers(self) -> list[list[nn.Parameter]]:
        return [list(part.parameters()) for part in (self.stem, *self.layers)]

    def blocks(self) -> list[nn.Module]:
        return [block for layer in self.layers for block in layer.children()]

    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        names = {"conv1.": "stem.0.", "bn1.": "stem.1.", **{f"layer{n + 1}.": f"layers.{n}." for n in range(4)}}
        renamed = {
            names[p] + key.removeprefix(p): value for key, value in state.items() for p in names if key.startswith(p)
        }
        self.load_state_dict(renamed, strict=False)  # old files lack the counters of batch norms
