"""What models that learn nothing or little make of the same ears: the mean image, and a PCA of the pixels."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earcli.data.batches import as_images
from earcli.data.cache import Progress
from earcli.data.pixels import Pixels

CHUNK = 1024
PCA_IMAGES = 5000
PCA_BYTES = 2**30


def mean_image(pixels: Pixels) -> NDArray[np.float32]:
    """The mean of crops (N, S, S, 3), in memory or not, read in pieces; (S, S, 3) in [0, 1]."""
    total = np.zeros(pixels.shape[1:])
    for start in range(0, len(pixels), CHUNK):
        total += pixels[start : start + CHUNK].sum(axis=0, dtype=np.float64)
    return np.asarray(total / len(pixels) / 255, np.float32)


def mean_image_psnr(train: Pixels, val: Pixels) -> float:
    """What guessing the mean training image for every validation image gives: mean over images, dB, data range 1.

    Args:
        train, val: (N, S, S, 3), in memory or not; read in pieces.
    """
    mean = mean_image(train)
    values = []
    for start in range(0, len(val), CHUNK):
        error = np.square(val[start : start + CHUNK] / np.float32(255) - mean).mean(axis=(1, 2, 3), dtype=np.float64)
        values.append(-10 * np.log10(error))
    return float(np.concatenate(values).mean())


@dataclass(frozen=True)
class PixelPCA:
    """Principal components of pixels.

    Attributes:
        mean: (3·S·S,) in [-1, 1].
        components: (K, 3·S·S), orthonormal, the one that explains most first.
        explained: (K,) share of the variance that each explains.
        fitted_on: images.
    """

    mean: Tensor
    components: Tensor
    explained: NDArray[np.float64]
    fitted_on: int

    def reconstruct(self, images: Tensor, count: int) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] from their first `count` components, cut to [-1, 1]."""
        mean, components = self.mean.to(images.device), self.components[:count].to(images.device)
        flat = images.flatten(1) - mean
        return (flat @ components.T @ components + mean).clamp(-1, 1).view(images.shape)


def fit_pixel_pca(pixels: Pixels, components: int, seed: int, progress: Progress | None = None) -> PixelPCA:
    """A PCA of crops (N, S, S, 3), by a randomized solver (Halko et al. 2011, doi:10.1137/090771806).

    It is fitted on at most 5,000 crops, drawn by `seed`, and on fewer where they would take more than 1 GiB. It has
    at most as many components as crops, less one.
    """
    from sklearn.decomposition import PCA  # most of a second, and training needs only the mean image

    if progress is not None:
        progress("fitting a PCA of the pixels", 0, 1)
    count = min(len(pixels), PCA_IMAGES, PCA_BYTES // (4 * int(np.prod(pixels.shape[1:]))))
    drawn = np.sort(np.random.default_rng(seed).permutation(len(pixels))[:count])
    flat = as_images(torch.from_numpy(pixels[drawn]).permute(0, 3, 1, 2)).flatten(1).numpy()  # (N, 3·S·S)
    kept = max(1, min(components, count - 1, flat.shape[1]))
    model = PCA(kept, copy=False, svd_solver="randomized", iterated_power=3, random_state=seed).fit(flat)
    mean, axes = torch.from_numpy(model.mean_), torch.from_numpy(model.components_)
    return PixelPCA(mean, axes, model.explained_variance_ratio_.astype(np.float64), count)
