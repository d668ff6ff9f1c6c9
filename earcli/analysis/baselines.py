"""Baselines for reconstruction: the mean training image, and a PCA of the pixels."""

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
    """The mean of crops (N, S, S, 3) uint8, read in chunks; (S, S, 3) in [0, 1].

    >>> mean_image(np.full((2, 4, 4, 3), 51, np.uint8))[0, 0].tolist()
    [0.20000000298023224, 0.20000000298023224, 0.20000000298023224]
    """
    total = np.zeros(pixels.shape[1:])
    for start in range(0, len(pixels), CHUNK):
        total += pixels[start : start + CHUNK].sum(axis=0, dtype=np.float64)
    return np.asarray(total / len(pixels) / 255, np.float32)


def mean_image_psnr(train: Pixels, val: Pixels) -> float:
    """PSNR in dB of predicting the mean training image for every validation image, averaged over images.

    Args:
        train, val: (N, S, S, 3) uint8, in memory or not, read in chunks; the data range is 1 after scaling.
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
        components: (K, 3·S·S), orthonormal, by decreasing variance.
        explained: (K,) explained variance ratios.
        fitted_on: Number of images.
    """

    mean: Tensor
    components: Tensor
    explained: NDArray[np.float64]
    fitted_on: int

    def reconstruct(self, images: Tensor, count: int) -> Tensor:
        """Projects images (B, 3, S, S) in [-1, 1] onto the first `count` components; clamped to [-1, 1]."""
        mean, components = self.mean.to(images.device), self.components[:count].to(images.device)
        flat = images.flatten(1) - mean  # (B, 3·S·S)
        return (flat @ components.T @ components + mean).clamp(-1, 1).view(images.shape)


def fit_pixel_pca(pixels: Pixels, components: int, seed: int, progress: Progress | None = None) -> PixelPCA:
    """Fits a PCA to crops with a randomized solver (Halko et al. 2011, doi:10.1137/090771806).

    It uses a random subset of at most 5,000 crops and at most 1 GiB. The number of components is at most the number of
    crops minus one.

    Args:
        pixels: (N, S, S, 3) uint8.
        components: Number of components.
        seed: Seed of the subset and of the solver.
        progress: Called once, before fitting.
    """
    from sklearn.decomposition import PCA  # takes most of a second, and training needs only the mean image

    if progress is not None:
        progress("fitting a PCA of the pixels", 0, 1)
    count = min(len(pixels), PCA_IMAGES, PCA_BYTES // (4 * int(np.prod(pixels.shape[1:]))))
    subset = np.sort(np.random.default_rng(seed).permutation(len(pixels))[:count])
    flat = as_images(torch.from_numpy(pixels[subset]).permute(0, 3, 1, 2)).flatten(1).numpy()  # (N, 3·S·S)
    kept = max(1, min(components, count - 1, flat.shape[1]))
    model = PCA(kept, copy=False, svd_solver="randomized", iterated_power=3, random_state=seed).fit(flat)
    mean, axes = torch.from_numpy(model.mean_), torch.from_numpy(model.components_)
    return PixelPCA(mean, axes, model.explained_variance_ratio_.astype(np.float64), count)
