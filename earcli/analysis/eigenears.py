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

WHOLE_BYTES = 2**29
ARRAYS = ("mean", "components", "variances", "total_variance", "images")
CONSTANT = 1e-6


@dataclass(frozen=True)
class EigenEars:
    """A space of ears around the mean ear.

    Attributes:
        mean: (D,) the mean code; decoded, the mean ear.
        components: (K, D) orthonormal directions, the one that explains most first.
        variances: (K,) of the codes along each.
        total_variance: of the codes, over all D directions.
        images: ears that it was fitted on.
    """

    mean: Floats
    components: Floats
    variances: Floats
    total_variance: float
    images: int

    @property
    def explained(self) -> Floats:
        """(K,) the share of the variance that each component explains."""
        return self.variances / np.float32(self.total_variance)

    @property
    def deviations(self) -> Floats:
        """(K,) one standard deviation along each component, σ."""
        return np.sqrt(self.variances)

    def project(self, codes: Floats) -> Floats:
        """Scores (N, K) of codes (N, D), in σ of each component: 0 is the mean ear."""
        return np.asarray((codes - self.mean) @ self.components.T / np.maximum(self.deviations, CONSTANT))

    def restore(self, scores: Floats) -> Floats:
        """Codes (N, D) of scores (N, K) in σ; K may be smaller than that of the space."""
        used = scores.shape[1]
        return np.asarray(self.mean + (scores * self.deviations[:used]) @ self.components[:used], np.float32)

    def sample(self, count: int, seed: int = 0) -> Floats:
        """Codes (count, D) of new ears: scores drawn from N(0, I)."""
        drawn = np.random.default_rng(seed).standard_normal((count, len(self.components)))
        return self.restore(drawn.astype(np.float32))

    def walk(self, component: int, reach: float, steps: int) -> Floats:
        """Codes (steps, D) from −reach σ to +reach σ along one component, counted from 0, through the mean ear."""
        scores = np.zeros((steps, len(self.components)), np.float32)
        scores[:, component] = np.linspace(-reach, reach, steps)
        return self.restore(scores)

    def save(self, path: Path) -> None:
        """Writes an `.npz` of plain arrays."""
        np.savez(path, allow_pickle=False, **{name: np.asarray(getattr(self, name)) for name in ARRAYS})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote; no pickle in it is ever loaded.

        Raises:
            DataError: the file is missing, damaged, or something else.
        """
        try:
            arrays = read_arrays(path)
            mean, components, variances = (np.asarray(arrays[name], np.float32) for name in ARRAYS[:3])
            total, images = float(arrays["total_variance"]), int(arrays["images"])
            fits = mean.shape == components.shape[1:] and variances.shape == components.shape[:1]
        except Exception as error:  # a damaged archive can raise anything
            raise DataError(
                f"{path} holds no eigenears ({type(error).__name__}). Make them with ear eigenears."
            ) from error
        if not fits:
            raise DataError(f"{path} holds arrays that do not fit together. Make them anew with ear eigenears.")
        return cls(mean, components, variances, total, images)


def fit_eigenears(codes: Floats, components: int) -> EigenEars:
    """A PCA of codes (N, D); incremental where they take more than half a GiB.

    Raises:
        ConfigError: more components than the latent space has dimensions.
        DataError: too few ears for so many components, or a latent space that says nothing.
    """
    count, dimensions = codes.shape
    if components > dimensions:
        raise ConfigError(
            f"--components {components} is more than the {dimensions} dimensions of the latent space. Give fewer."
        )
    if components >= count:
        raise DataError(f"{count} ears have at most {count - 1} components, wanted {components}. Give more ears.")
    if codes.std(axis=0).max() < CONSTANT:
        raise DataError(
            f"The latent space says the same of all {count} ears: it has collapsed. Train the teacher anew."
        )
    if codes.nbytes <= WHOLE_BYTES:
        model = PCA(components, svd_solver="full").fit(codes)
    else:
        model = IncrementalPCA(components, batch_size=max(5 * dimensions, components)).fit(codes)
    total = float(codes.var(axis=0, ddof=1, dtype=np.float64).sum())
    mean, axes, variances = (
        np.asarray(part, np.float32) for part in (model.mean_, model.components_, model.explained_variance_)
    )
    return EigenEars(mean, axes, variances, total, count)
