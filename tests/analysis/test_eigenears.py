"""Eigenears: the PCA against scikit-learn and numpy, and whether verdicts find what was drawn."""

import pickle
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from sklearn.decomposition import PCA

from earcli.analysis import eigenears
from earcli.analysis.eigenears import EigenEars, fit_eigenears
from earcli.errors import ConfigError, DataError

Array = np.ndarray


def test_the_components_are_those_of_a_singular_value_decomposition(codes: Array) -> None:
    space = fit_eigenears(codes, 5)
    _, singular, axes = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(np.sum(space.components * axes[:5], axis=1)), 1, atol=1e-4)
    np.testing.assert_allclose(space.variances, singular[:5] ** 2 / 199, rtol=1e-4)
    reference = PCA(5).fit(codes)
    np.testing.assert_allclose(space.explained, reference.explained_variance_ratio_, rtol=1e-4)
    scores = reference.transform(codes) / np.sqrt(reference.explained_variance_)
    np.testing.assert_allclose(space.project(codes), scores, atol=1e-3)


def test_what_does_not_fit_in_memory_is_fitted_in_pieces(codes: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit_eigenears(codes, 12)
    monkeypatch.setattr(eigenears, "FULL_PCA_BYTES", 1000)
    pieces = fit_eigenears(codes, 12)
    np.testing.assert_allclose(pieces.variances, whole.variances, rtol=0.01)
    overlap = np.abs(np.sum(pieces.components[:3] * whole.components[:3], axis=1))
    np.testing.assert_allclose(overlap, 1, atol=0.02)


def test_an_ear_goes_into_the_components_and_back(codes: Array) -> None:
    full = fit_eigenears(codes, 12)
    np.testing.assert_allclose(full.restore(full.project(codes)), codes, atol=1e-3)
    np.testing.assert_allclose(full.project(codes).std(axis=0, ddof=1), 1, rtol=1e-3)
    part = full.restore(full.project(codes)[:, :3])
    residual = np.square(part - codes).sum(axis=1).mean()
    assert residual == pytest.approx(full.variances[3:].sum(), rel=0.02)


def test_new_ears_vary_like_those_that_were_seen(codes: Array) -> None:
    space = fit_eigenears(codes, 12)
    drawn = space.sample(20_000, seed=1)
    np.testing.assert_allclose(drawn.mean(axis=0), codes.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(drawn.var(axis=0), codes.var(axis=0), rtol=0.1)
    np.testing.assert_array_equal(space.sample(3, seed=1), space.sample(3, seed=1))


def test_a_walk_goes_through_the_mean_along_one_component(codes: Array) -> None:
    space = fit_eigenears(codes, 4)
    walk = space.walk(2, reach=3, steps=7)
    np.testing.assert_allclose(walk[3], space.mean, atol=1e-5)
    expected = np.zeros((7, 4))
    expected[:, 2] = [-3, -2, -1, 0, 1, 2, 3]
    np.testing.assert_allclose(space.project(walk), expected, atol=1e-3)


def test_a_space_is_kept_in_a_file_without_pickle(codes: Array, tmp_path: Path) -> None:
    space = fit_eigenears(codes, 4)
    space.save(tmp_path / "x.npz")
    again = EigenEars.load(tmp_path / "x.npz")
    np.testing.assert_array_equal(again.project(codes), space.project(codes))
    assert (again.total_variance, again.images) == (space.total_variance, 200)


def test_a_file_that_is_no_space_is_refused_and_runs_nothing(codes: Array, tmp_path: Path) -> None:
    fit_eigenears(codes, 4).save(tmp_path / "good.npz")
    whole = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps({"mean": 1}))
    np.savez(tmp_path / "objects.npz", mean=np.array([object()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with ZipFile(tmp_path / "bomb.npz", "w", ZIP_DEFLATED) as bomb, bomb.open("mean.npy", "w") as file:
        file.write(bytes(2**20 + 1))
    arrays = {"mean": np.zeros(3), "components": np.zeros((2, 4)), "variances": np.zeros(2)}
    np.savez(tmp_path / "unfit.npz", total_variance=1.0, images=5, **arrays)
    np.save(tmp_path / "single.npy", np.zeros(3))
    for name in (
        "cut.npz",
        "pickle.npz",
        "objects.npz",
        "other.npz",
        "unfit.npz",
        "bomb.npz",
        "single.npy",
        "missing.npz",
    ):
        with pytest.raises(DataError, match=name):
            EigenEars.load(tmp_path / name)


def test_impossible_spaces_are_refused(codes: Array) -> None:
    with pytest.raises(ConfigError, match="`components` must be at most 12"):
        fit_eigenears(codes, 13)
    with pytest.raises(DataError, match="5 ears have at most 4 principal components, expected 5"):
        fit_eigenears(codes[:5], 5)
    with pytest.raises(DataError, match="codes of all 200 ears are equal"):
        fit_eigenears(np.ones_like(codes), 4)
