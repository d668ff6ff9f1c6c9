"""Whether an ear is a left or a right one, from the orientations of its edges."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earcli.models.precision import full_precision
from earcli.models.skeleton import shrink

SHRUNK, CELLS, ORIENTATIONS = 32, 8, 8
FEATURES = ORIENTATIONS * CELLS**2
MIN_GRADIENT = 1e-4
"""Far below one 8-bit level, and large enough for fp16."""


class Laterality(nn.Module):
    """Estimates by a linear function of `orientation_features` which ears are right ones; nothing in it is trained.

    The function is odd: the logit of a mirror image is the negative logit. Before it is fitted, every ear counts as a
    left one.

    >>> Laterality()(torch.zeros(5, 3, 64, 64)).shape
    torch.Size([5])
    """

    direction: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("direction", torch.zeros(FEATURES))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B,) that images (B, 3, S, S) in [-1, 1] show right ears; S is a multiple of 32."""
        with full_precision(images):
            return orientation_features(images) @ self.direction

    def to_left(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, S, S) of left ears, in which right ones are mirrored, and the logits (B,)."""
        logits = self(images)
        return mirror_where(logits > 0, images), logits


def mirror_where(mirrored: Tensor, images: Tensor) -> Tensor:
    """Mirrors some of the images (B, C, H, W) horizontally, those for which `mirrored` (B,) is true.

    >>> mirror_where(torch.tensor([True]), torch.tensor([[[[1, 2]]]])).tolist()
    [[[[2, 1]]]]
    """
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def orientation_features(images: Tensor) -> Tensor:
    """Histograms of oriented gradients minus those of the mirror image, (B, FEATURES).

    Signed gradients in 8 orientations, averaged over 8×8 cells (Dalal and Triggs 2005, doi:10.1109/CVPR.2005.177);
    the square roots of the averages are normalized over the image, so the contrast has no effect.

    Args:
        images: (B, 3, S, S) in [-1, 1], S a multiple of 32.
    """
    gray = shrink(images.float().mean(1, keepdim=True), SHRUNK)
    gray = F.pad(gray, (1, 1, 1, 1), mode="replicate")[:, 0]  # (B, 34, 34)
    gradient = torch.stack([gray[:, 1:-1, 2:] - gray[:, 1:-1, :-2], gray[:, 2:, 1:-1] - gray[:, :-2, 1:-1]], 3)
    angles = torch.arange(ORIENTATIONS, device=images.device) * (2 * math.pi / ORIENTATIONS)
    along = (gradient @ torch.stack([angles.cos(), angles.sin()])).clamp(min=0)  # (B, 32, 32, 8)
    cells = F.avg_pool2d(along.permute(0, 3, 1, 2), SHRUNK // CELLS).clamp(min=MIN_GRADIENT).sqrt()  # (B, 8, 8, 8)
    cells = cells / torch.linalg.vector_norm(cells, dim=(1, 2, 3), keepdim=True)
    opposite = [(ORIENTATIONS // 2 - k) % ORIENTATIONS for k in range(ORIENTATIONS)]  # mirrored, φ becomes π − φ
    features: Tensor = cells - cells[:, opposite].flip(3)
    return features.flatten(1)
