"""The skeleton: the eigenears of the training pixels, a fixed linear autoencoder beside the networks of a teacher."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earcli.models.precision import full_precision

MAX_SIDE = 64


class SkeletonBasis(NamedTuple):
    """A probabilistic PCA of images (Tipping and Bishop 1999, doi:10.1111/1467-9868.00196).

    Attributes:
        mean: (3·s·s,) in [-1, 1], for images of s × s pixels; see `skeleton_side`.
        components: (K, 3·s·s), orthonormal, by decreasing variance.
        deviations: (K,) standard deviation of the images along each component.
        noise: The variance of a dimension outside the components, σ² of the model.
    """

    mean: Tensor
    components: Tensor
    deviations: Tensor
    noise: float


class Skeleton(nn.Module):
    """Maps images (B, 3, S, S) in [-1, 1] to whitened scores (B, K) and back; nothing in it is trained.

    A skeleton without a basis has scores and images of zero. Components that a basis lacks have scores of zero.

    Args:
        components: K.
        image_size: S in pixels.

    >>> skeleton = Skeleton(2, 64)
    >>> skeleton.image(skeleton.scores(torch.zeros(5, 3, 64, 64))).shape
    torch.Size([5, 3, 64, 64])
    """

    mean: Tensor
    components: Tensor
    deviations: Tensor
    logvar: Tensor

    def __init__(self, components: int, image_size: int) -> None:
        super().__init__()
        self.image_size, self.side = image_size, skeleton_side(image_size)
        pixels = 3 * self.side**2
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("components", torch.zeros(components, pixels))
        self.register_buffer("deviations", torch.ones(components))
        self.register_buffer("logvar", torch.zeros(components))  # of the posterior, the same for every image

    def set_basis(self, basis: SkeletonBasis) -> None:
        """Takes over a basis of at most K components."""
        count = len(basis.components)
        self.mean.copy_(basis.mean)
        self.components[:count] = basis.components
        self.deviations[:count] = basis.deviations
        self.logvar[:count] = torch.log(basis.noise / basis.deviations.square()).clamp(-10, 0)

    def scores(self, images: Tensor) -> Tensor:
        """The whitened scores of images, (B, K): mean 0 and variance 1 over the images of the basis."""
        with full_precision(images):
            return (shrink(images.float(), self.side).flatten(1) - self.mean) @ self.components.T / self.deviations

    def image(self, scores: Tensor) -> Tensor:
        """The images of whitened scores, (B, 3, S, S), not clamped."""
        with full_precision(scores):
            return self._stretch((scores.float() * self.deviations) @ self.components + self.mean)

    def complement(self, images: Tensor) -> Tensor:
        """What images have beyond mean and components: (I − UUᵀ)(images − mean), (B, 3, S, S)."""
        with full_precision(images):
            centered = shrink(images.float(), self.side).flatten(1) - self.mean
            return images.float() - self._stretch(centered @ self.components.T @ self.components + self.mean)

    def _stretch(self, flat: Tensor) -> Tensor:
        images = flat.view(-1, 3, self.side, self.side)
        if self.side == self.image_size:
            return images
        return F.interpolate(images, (self.image_size, self.image_size), mode="bicubic", align_corners=False)


def skeleton_side(image_size: int) -> int:
    """Side of the components in pixels: the largest divisor of the image size that is at most 64.

    >>> skeleton_side(128), skeleton_side(96)
    (64, 48)
    """
    return next(side for side in range(min(MAX_SIDE, image_size), 0, -1) if image_size % side == 0)


def shrink(images: Tensor, side: int) -> Tensor:
    """Means over squares of pixels, (B, 3, side, side)."""
    factor = images.shape[-1] // side
    return images if factor == 1 else F.avg_pool2d(images, factor)
