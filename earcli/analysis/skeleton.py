"""Fitting the skeleton of a teacher to its training crops."""

import zlib
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from earcli.data.batches import as_images
from earcli.data.cache import Progress
from earcli.data.pixels import MirroredPixels, Pixels, StoredPixels
from earcli.files import atomic_write
from earcli.models.skeleton import SkeletonBasis, shrink, skeleton_side
from earcli.untrusted.npz import read_arrays

VERSION = 1
MAX_IMAGES = 8192
MAX_BYTES = 2**30
POWER_ITERATIONS = 4
MIN_DEVIATION = 1e-3
"""Below a tenth of one 8-bit level of one pixel: nothing but rounding."""


def fit_skeleton(
    pixels: Pixels, components: int, *, flips: bool, seed: int, progress: Progress | None = None
) -> SkeletonBasis:
    """The principal components of the pixels of crops, kept in the pixel cache beside them.

    Of several processes that need a basis at once, one fits it and the others read it.

    Args:
        pixels: The training crops, (N, S, S, 3) uint8.
        components: The number of components; constant directions, and more than the crops have, are left out.
        flips: Whether to include the mirror image of each crop.
        seed: Seed of the subset of crops and of the solver.
        progress: Called once, before fitting.
    """
    stored, variant = pixels, "flips" if flips else "plain"
    if isinstance(pixels, MirroredPixels):
        stored, variant = pixels.pixels, f"{variant}-{zlib.crc32(pixels.mirrored.tobytes()):08x}"
    if not isinstance(stored, StoredPixels):
        return _fit(pixels, components, flips, seed, progress)
    path = stored.path.with_name(f"skeleton-{VERSION}-{components}-{variant}-{seed}.npz")
    with FileLock(path.with_suffix(".lock")):
        basis = _read(path)
        if basis is None:
            basis = _fit(pixels, components, flips, seed, progress)
            arrays = {name: np.asarray(value) for name, value in basis._asdict().items()}
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
    return basis


def count_fitted(pixels: Pixels, *, flips: bool) -> int:
    """The number of crops that a skeleton is fitted on: at most 8,192, and at most 1 GiB with their mirror images."""
    side = skeleton_side(pixels.shape[1])
    return min(len(pixels), MAX_IMAGES, MAX_BYTES // (4 * (2 if flips else 1) * 3 * side**2))


def _read(path: Path) -> SkeletonBasis | None:
    """A basis of the cache, or None if it is missing or damaged."""
    try:
        arrays = read_arrays(path)
        mean, components, deviations = (torch.from_numpy(arrays[name]) for name in SkeletonBasis._fields[:3])
        return SkeletonBasis(mean, components, deviations, float(arrays["noise"]))
    except Exception:  # a damaged archive can raise anything
        return None


def _fit(pixels: Pixels, components: int, flips: bool, seed: int, progress: Progress | None) -> SkeletonBasis:
    """Randomized PCA (Halko et al. 2011, doi:10.1137/090771806); an exact one where most components are kept."""
    from sklearn.decomposition import PCA  # takes most of a second to import

    if progress is not None:
        progress(f"fitting the skeleton, {components} components", 0, 1)
    side, count = skeleton_side(pixels.shape[1]), count_fitted(pixels, flips=flips)
    rows = np.sort(np.random.default_rng(seed).permutation(len(pixels))[:count])
    images = torch.cat(
        [
            shrink(as_images(torch.from_numpy(pixels[chunk]).permute(0, 3, 1, 2)), side)
            for chunk in np.array_split(rows, -(-count // 1024))
        ]
    )
    flat = torch.cat([images, images.flip(3)] if flips else [images]).flatten(1).numpy()  # (N, 3·s·s)
    if len(flat) < 2 or not np.ptp(flat, axis=0).any():  # which PCA would divide by
        mean, empty = torch.from_numpy(flat.mean(axis=0)), torch.zeros(0, flat.shape[1])
        return SkeletonBasis(mean, empty, torch.zeros(0), 1.0)
    kept = min(components, len(flat) - 1, flat.shape[1])
    solver = "full" if kept >= 0.8 * min(flat.shape) else "randomized"
    model = PCA(kept, svd_solver=solver, iterated_power=POWER_ITERATIONS, random_state=seed).fit(flat)
    deviations = np.sqrt(model.explained_variance_)
    varying = int((deviations > MIN_DEVIATION).sum())
    return SkeletonBasis(
        torch.from_numpy(model.mean_),
        torch.from_numpy(np.ascontiguousarray(model.components_[:varying])),
        torch.from_numpy(deviations[:varying]),
        float(model.noise_variance_),
    )
