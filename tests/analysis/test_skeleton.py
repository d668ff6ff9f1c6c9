"""Tests of `earcli/analysis/skeleton.py`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from earcli.analysis.skeleton import fit_skeleton
from earcli.data.cache import load_crops
from earcli.data.manifest import read_manifest
from earcli.data.pixels import Pixels


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    """40 images of 64 pixels that differ along 5 directions, by decreasing amounts."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((5, 64 * 64 * 3)) * np.array([40, 30, 20, 10, 5])[:, None]
    images = 128 + np.clip(rng.standard_normal((40, 5)), -1.5, 1.5) @ directions / 5
    return images.round().clip(0, 255).astype(np.uint8).reshape(40, 64, 64, 3)


def test_the_basis_is_the_pca_of_the_pixels(pixels: NDArray[np.uint8]) -> None:
    basis = fit_skeleton(pixels, 3, flips=False, seed=0)
    flat = pixels.transpose(0, 3, 1, 2).reshape(40, -1) / 127.5 - 1
    _, singular, directions = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    np.testing.assert_allclose(basis.mean, flat.mean(0), atol=1e-5)
    np.testing.assert_allclose(basis.deviations, singular[:3] / np.sqrt(39), rtol=1e-3)
    np.testing.assert_allclose(np.abs((basis.components.numpy() * directions[:3]).sum(1)), 1, atol=1e-3)


def test_flips_make_every_component_even_or_odd(pixels: NDArray[np.uint8]) -> None:
    basis = fit_skeleton(pixels, 4, flips=True, seed=0)
    images = basis.components.view(-1, 3, 64, 64)
    parity = (images * images.flip(3)).sum((1, 2, 3))
    np.testing.assert_allclose(parity.abs(), 1, atol=0.02)
    mean = basis.mean.view(3, 64, 64)
    np.testing.assert_allclose(mean, mean.flip(2), atol=1e-5)


def test_few_and_equal_images_have_fewer_components(pixels: NDArray[np.uint8]) -> None:
    assert len(fit_skeleton(pixels[:3], 8, flips=False, seed=0).components) == 2
    assert len(fit_skeleton(pixels[:1], 8, flips=False, seed=0).components) == 0
    same = np.repeat(pixels[:1], 5, axis=0)
    assert len(fit_skeleton(same, 8, flips=False, seed=0).components) == 0
    gray = np.repeat(pixels[:, :, :, :1], 3, axis=3)
    components = fit_skeleton(gray, 3, flips=False, seed=0).components.view(3, 3, 64, 64)
    torch.testing.assert_close(components[:, 0], components[:, 1], rtol=0, atol=1e-5)


def test_a_basis_is_fitted_once_and_read_from_the_cache(ears: Path, tmp_path: Path) -> None:
    def load() -> Pixels:
        return load_crops(read_manifest(ears / "train_teacher.npy"), 64, tmp_path, 2).pixels

    calls: list[str] = []

    def progress(activity: str, done: int, total: int) -> None:
        calls.append(activity)

    first, again = (fit_skeleton(load(), 4, flips=True, seed=0, progress=progress) for _ in range(2))
    assert calls == ["fitting the skeleton, 4 components"]
    assert all(torch.equal(a, b) for a, b in zip(first[:3], again[:3], strict=True))
    assert first.noise == pytest.approx(again.noise)
    damaged = next(tmp_path.glob("*/skeleton-*.npz"))
    damaged.write_bytes(b"no archive")
    assert torch.equal(fit_skeleton(load(), 4, flips=True, seed=0).components, first.components)
    assert damaged.stat().st_size > 1000
