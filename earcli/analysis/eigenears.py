"""Eigenears: the principal components of latent codes. Arrays in, arrays out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA, IncrementalPCA

from earcli.errors import ConfigError, DataError
from earcli.untrusted.npz import read_arrays

Floats = NDArray[np.float32]

FULL_PCA_BYTES = 2**29
ARRAYS = ("mean", "components", "variances", "total_variance", "images")
CONSTANT = 1e-6


@dataclass(frozen=True)
class EigenEars:
    """A linear space of ears around the mean ear.

    Attributes:
        mean: (D,) the mean code, which decodes to the mean ear.
        components: (K, D) orthonormal directions, by decreasing variance.
        variances: (K,) variance of the codes along each component.
        total_variance: Variance of the codes over all D dimensions.
        images: Number of ears that it was fitted on.

    Example:
        >>> codes = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
        >>> space = fit_eigenears(codes, components=3)
        >>> space.project(codes).shape, space.walk(0, reach=3, steps=5).shape
        ((50, 3), (5, 8))
    """

    mean: Floats
    components: Floats
    variances: Floats
    total_variance: float
    images: int

    @property
    def explained(self) -> Floats:
        """(K,) explained variance ratios."""
        return self.variances / np.float32(self.total_variance)

    @property
    def deviations(self) -> Floats:
        """(K,) standard deviation along each component, σ."""
        return np.sqrt(self.variances)

    def project(self, codes: Floats) -> Floats:
        """Scores (N, K) of codes (N, D), in σ of each component; 0 is the mean ear."""
        return np.asarray((codes - self.mean) @ self.components.T / np.maximum(self.deviations, CONSTANT))

    def restore(self, scores: Floats) -> Floats:
        """Codes (N, D) of scores (N, k) in σ, for the first k components."""
        count = scores.shape[1]
        return np.asarray(self.mean + (scores * self.deviations[:count]) @ self.components[:count], np.float32)

    def sample(self, count: int, seed: int = 0) -> Floats:
        """Codes (count, D) of new ears, with scores sampled from N(0, I)."""
        scores = np.random.default_rng(seed).standard_normal((count, len(self.components)))
        return self.restore(scores.astype(np.float32))

    def walk(self, component: int, reach: float, steps: int) -> Floats:
        """Codes (steps, D) from −reach σ to +reach σ along one component (0-based), through the mean ear."""
        scores = np.zeros((steps, len(self.components)), np.float32)
        scores[:, component] = np.linspace(-reach, reach, steps)
        return self.restore(scores)

    def save(self, path: Path) -> None:
        """Writes an `.npz` file of plain arrays."""
        np.savez(path, allow_pickle=False, **{name: np.asarray(getattr(self, name)) for name in ARRAYS})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a file that `save` wrote, without unpickling anything.

        Raises:
            DataError: The file is missing, damaged, or of another kind.
        """
        try:
            arrays = read_arrays(path)
            mean, components, variances = (np.asarray(arrays[name], np.float32) for name in ARRAYS[:3])
            total, images = float(arrays["total_variance"]), int(arrays["images"])
        except Exception as error:  # a damaged archive can raise anything
            raise DataError(f"{path} holds no eigenears ({type(error).__name__}). Run ear eigenears.") from error
        if mean.shape != components.shape[1:] or variances.shape != components.shape[:1]:
            raise DataError(f"{path} holds arrays of inconsistent shapes. Run ear eigenears again.")
        return cls(mean, components, variances, total, images)


def fit_eigenears(codes: Floats, components: int) -> EigenEars:
    """Fits a PCA to codes (N, D); an incremental one if they take more than 512 MiB.

    Raises:
        ConfigError: `components` is more than D.
        DataError: N is at most `components`, or all codes are equal.
    """
    count, dimensions = codes.shape
    if components > dimensions:
        raise ConfigError(f"`components` must be at most {dimensions}, the latent dimensions, got {components}.")
    if components >= count:
        raise DataError(
            f"{count} ears have at most {count - 1} principal components, expected {components}. Use more ears."
        )
    if codes.std(axis=0).max() < CONSTANT:
        raise DataError(
            f"The codes of all {count} ears are equal: the latent space collapsed. Train the teacher again."
        )
    if codes.nbytes <= FULL_PCA_BYTES:
        model = PCA(components, svd_solver="full").fit(codes)
    else:
        model = IncrementalPCA(components, batch_size=max(5 * dimensions, components)).fit(codes)
    total = float(codes.var(axis=0, ddof=1, dtype=np.float64).sum())
    mean, axes, variances = (
        np.asarray(array, np.float32) for array in (model.mean_, model.components_, model.explained_variance_)
    )
    return EigenEars(mean, axes, variances, total, count)
