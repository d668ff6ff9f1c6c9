"""The perceptual term: the distance of two images in the feature space of a VGG16 trained on ImageNet."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earcli.errors import WeightsError

# indices of torchvision's vgg16().features: the convolutions, and those whose ReLU outputs are compared
CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)
COMPARED = (2, 7, 14, 21)  # relu1_2, relu2_2, relu3_3, relu4_3
POOLED_BEFORE = (5, 10, 17)
WIDTHS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PerceptualLoss(nn.Module):
    """Mean absolute difference of VGG16 features, mean over four layers (after Johnson et al. 2016, arXiv:1603.08155).

    Images are (B, 3, H, W) in [-1, 1]. The weights are frozen, non-persistent buffers: no checkpoint contains them.

    Args:
        state: The state dict of torchvision's `vgg16`, or of its first 22 features.

    Raises:
        WeightsError: A weight is missing or has the wrong shape.

    >>> loss = PerceptualLoss(random_vgg(torch.Generator().manual_seed(0)))
    >>> loss(torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 32, 32)).item()
    0.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        channels = 3
        for index, width in zip(CONVOLUTIONS, WIDTHS, strict=True):
            shapes = {"weight": (width, channels, 3, 3), "bias": (width,)}
            for kind, shape in shapes.items():
                value = state.get(f"features.{index}.{kind}")
                if value is None or value.shape != shape:
                    actual = "missing" if value is None else str(tuple(value.shape))
                    raise WeightsError(
                        f"The weights are not those of a VGG16: features.{index}.{kind} is {actual}, expected {shape}."
                    )
                if kind == "weight":
                    value = value.contiguous(memory_format=torch.channels_last)
                self.register_buffer(f"{kind}{index}", value.float(), persistent=False)
            channels = width
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> list[Tensor]:
        """relu1_2, relu2_2, relu3_3 and relu4_3 of images in [-1, 1]."""
        x = ((images + 1) / 2 - self.mean) / self.std
        result = []
        for index in CONVOLUTIONS:
            if index in POOLED_BEFORE:
                x = F.max_pool2d(x, 2)
            x = F.conv2d(x, self.get_buffer(f"weight{index}"), self.get_buffer(f"bias{index}"), padding=1).relu_()
            if index in COMPARED:
                result.append(x)
        return result

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """The mean distance over the batch, a scalar."""
        return self.each(reconstruction, target).mean()

    def each(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """The distance of each image from its target, (B,)."""
        with torch.no_grad():  # a graph of the target's pass would cost a third more work
            expected = self.features(target)
        distances = [_mean_distance(a, b) for a, b in zip(self.features(reconstruction), expected, strict=True)]
        return torch.stack(distances).mean(0)


def random_vgg(generator: torch.Generator) -> dict[str, Tensor]:
    """A random state dict of the first 22 features of `vgg16`, for benchmarks and tests."""
    state, channels = {}, 3
    for index, width in zip(CONVOLUTIONS, WIDTHS, strict=True):
        scale = (2 / (9 * channels)) ** 0.5  # keeps the variance of activations (He et al. 2015, arXiv:1502.01852)
        state[f"features.{index}.weight"] = torch.randn(width, channels, 3, 3, generator=generator) * scale
        state[f"features.{index}.bias"] = torch.zeros(width)
        channels = width
    return state


def _mean_distance(a: Tensor, b: Tensor) -> Tensor:
    """mean |a − b| of each image, (B,), accumulated in fp32 without a copy in fp32."""
    total: Tensor = torch.linalg.vector_norm(a - b, ord=1, dim=(1, 2, 3), dtype=torch.float32)
    return total / a.shape[1:].numel()
