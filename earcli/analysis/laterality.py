"""Learning from unlabeled crops to tell left ears from right ones."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from earcli.data.batches import as_images
from earcli.data.cache import Crops
from earcli.data.images import crop_picture
from earcli.data.pixels import MirroredPixels, Pixels
from earcli.models.laterality import Laterality, orientation_features
from earcli.synthetic.dataset import draw_ear, draw_factors

MAX_IMAGES = 8192
CHUNK = 256
DRAWN_EARS = 16
FIRST_DIMENSIONS, MAX_DIMENSIONS = 10, 80
EARS_PER_DIMENSION = 5
FEW_EARS = 200
ITERATIONS = 50
DOUBTFUL_LOGIT = math.log(2)
"""A probability of two thirds."""

Floats = NDArray[np.float64]
Sides = NDArray[np.int8]
"""(N,) 1 for left ears, -1 for right ones, 0 where the side is not known."""


def fit_laterality(pixels: Pixels, known: Sides, seed: int) -> Laterality:
    """Fits an estimator to crops of ears; drawn ears show it which side is left.

    The features of left ears are modeled as a normal distribution, those of right ears as its mirror image. Expectation
    maximization (Dempster et al. 1977) fits the mixture, first in 10 principal components of the features, then in a
    fifth of the number of crops, at most 80. It starts from similarity to drawn left ears.

    Args:
        pixels: (N, S, S, 3) uint8; a random subset of at most 8,192 is used.
        known: The sides that labels state.
        seed: Seed of the subset.

    >>> pixels = np.zeros((4, 64, 64, 3), np.uint8)
    >>> fit_laterality(pixels, np.zeros(4, np.int8), seed=0).direction.shape
    torch.Size([512])
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(pixels))[:MAX_IMAGES])
    features = np.concatenate([_features(pixels[rows[i : i + CHUNK]]) for i in range(0, len(rows), CHUNK)])
    estimator = Laterality()
    if features.any():
        direction = _fit(features, known[rows], _features(_draw_left_ears(pixels.shape[1])).mean(0))
        estimator.direction.copy_(torch.from_numpy(direction))
    return estimator


def _fit(features: Floats, known: Sides, drawn: Floats) -> Floats:
    """The direction of the logits of right ears, (D,).

    Args:
        features: (N, D).
        known: (N,).
        drawn: (D,) the mean features of drawn left ears.
    """
    axes = np.linalg.svd(features, full_matrices=False)[2]  # no centering: the mean over both sides is 0
    count = len(features)
    shrinkage = 0.3 if count < FEW_EARS else 0.1
    expected = np.where(known, known, np.sign(features @ drawn))  # from -1, a right ear, to 1, a left one
    for dimensions in (FIRST_DIMENSIONS, max(FIRST_DIMENSIONS, min(count // EARS_PER_DIMENSION, MAX_DIMENSIONS))):
        basis = axes[:dimensions]
        scores = features @ basis.T
        for _ in range(ITERATIONS):
            mean = (expected[:, None] * scores).mean(0)
            covariance = scores.T @ scores / count - np.outer(mean, mean)
            covariance += shrinkage * np.trace(covariance) / len(basis) * np.eye(len(basis))
            left = 2 * np.linalg.lstsq(covariance, mean, rcond=None)[0]
            previous, expected = expected, np.where(known, known, np.tanh(scores @ left / 2))
            if np.abs(expected - previous).max() < 1e-3:
                break
    return np.asarray(-basis.T @ left)


@dataclass(frozen=True)
class LeftEars:
    """Crops of left ears.

    Attributes:
        crops: The crops, with right ears mirrored.
        right: (N,) which crops show right ears.
        doubtful: The number of crops whose side was estimated with a probability of less than two thirds.
    """

    crops: Crops
    right: NDArray[np.bool_]
    doubtful: int

    def describe(self, kind: str) -> str:
        """A line on what was mirrored; `kind` says which ears these are, such as "training"."""
        doubt = f"; for {self.doubtful} this is uncertain" if self.doubtful else ""
        return f"{int(self.right.sum())} of {len(self.right)} {kind} ears are right ears and are mirrored{doubt}"


def mirror_right_ears(estimator: Laterality, crops: Crops, known: Sides | None = None) -> LeftEars:
    """Mirrors the right ears among crops.

    Args:
        estimator: On any device.
        crops: N crops.
        known: The sides that labels state; None estimates all.
    """
    logits = estimate_sides(estimator, crops.pixels)
    known = np.zeros(len(crops), np.int8) if known is None else known
    right = np.where(known, known < 0, logits > 0)
    doubtful = (known == 0) & (np.abs(logits) < DOUBTFUL_LOGIT)
    return LeftEars(replace(crops, pixels=MirroredPixels(crops.pixels, right)), right, int(doubtful.sum()))


def estimate_sides(estimator: Laterality, pixels: Pixels) -> Floats:
    """The logits (N,) that crops (N, S, S, 3) show right ears."""
    direction = estimator.direction.cpu().numpy().astype(np.float64)
    chunks = [_features(pixels[i : i + CHUNK]) @ direction for i in range(0, len(pixels), CHUNK)]
    return np.concatenate(chunks)


def _features(pixels: NDArray[np.uint8]) -> Floats:
    images = as_images(torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2))
    return orientation_features(images).numpy().astype(np.float64)


def _draw_left_ears(side: int) -> NDArray[np.uint8]:
    """Crops of drawn left ears, (16, side, side, 3)."""
    crops = []
    for index in range(DRAWN_EARS):
        rng = np.random.default_rng(index)
        ear = draw_ear(replace(draw_factors(rng), left=True), rng)
        crop = crop_picture(Image.fromarray(ear.image), np.array(ear.box))
        crops.append(np.asarray(crop.resize((side, side), Image.Resampling.BILINEAR)))
    return np.stack(crops)
