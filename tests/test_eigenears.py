"""Eigenears: the PCA against scikit-learn and numpy, and whether verdicts find what was drawn."""

import pickle
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from earcli.analysis import eigenears
from earcli.analysis.attribution import Attribution, attribute, explained_share, measure_light, verdict_of
from earcli.analysis.eigenears import EigenEars, fit_eigenears
from earcli.analysis.encoding import posterior_means
from earcli.checkpoints.runs import RunFolder
from earcli.data.cache import load_crops
from earcli.data.manifest import read_manifest
from earcli.errors import ConfigError, DataError
from earcli.models.vae import EarVAE
from earcli.synthetic.anatomy import LIGHT_FACTORS
from earcli.synthetic.dataset import read_factors

Array = np.ndarray


@pytest.fixture(scope="module")
def codes() -> Array:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((200, 12)) * np.linspace(3, 0.3, 12) + 5).astype(np.float32)


# -- the space


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


# -- what they encode


def test_light_is_measured_as_it_was_changed() -> None:
    rng = np.random.default_rng(0)
    base = np.full((1, 32, 32, 3), 100, np.uint8) + rng.integers(0, 40, (1, 32, 32, 1), np.uint8)

    def change(pixels: Array) -> dict[str, float]:
        before, after = measure_light(base), measure_light(pixels)
        return {name: float(after[name][0] - before[name][0]) for name in before}

    brighter = change(base + np.uint8(51))
    assert brighter["brightness"] == pytest.approx(0.2, abs=1e-4)
    assert all(abs(value) < 1e-4 for name, value in brighter.items() if name != "brightness")
    middle = base.mean()
    stretched = change((middle + 2 * (base - middle)).round().astype(np.uint8))
    assert stretched["contrast"] == pytest.approx(measure_light(base)["contrast"][0], rel=0.01)
    assert abs(stretched["blur"]) < 0.01
    warm = change(base + np.array([30, 0, 0], np.uint8))
    assert warm["color_red"] == pytest.approx(0.701 * 30 / 255, rel=1e-3)
    assert warm["color_blue"] < 0
    soft = change(((base.astype(int) + np.roll(base, 1, 1) + np.roll(base, 1, 2)) // 3).astype(np.uint8))
    assert soft["blur"] > 0.2


def test_the_share_is_that_of_a_regression_and_chance_explains_nothing() -> None:
    rng = np.random.default_rng(0)
    variables = {f"v{i}": rng.standard_normal(2000) for i in range(12)}
    signal = variables["v0"] - 2 * variables["v1"]
    scores = np.stack([signal + rng.standard_normal(2000) * 3, rng.standard_normal(2000)], axis=1)
    table = np.stack(list(variables.values()), axis=1)
    plain = r2_score(scores[:, 0], LinearRegression().fit(table, scores[:, 0]).predict(table))
    share = explained_share(scores, variables)
    assert share[0] == pytest.approx(plain, abs=0.02)  # 5/14 of the variance is signal
    assert share[1] == 0
    few = {name: values[:80] for name, values in variables.items()}
    assert explained_share(scores[:80], few)[1] < 0.05


@pytest.mark.parametrize(
    ("light", "anatomy", "verdict"),
    [
        (0.9, 0.0, "light"),
        (0.9, None, "light"),
        (0.5, 0.24, "light"),
        (0.0, 0.6, "anatomy"),
        (0.24, 0.25, "anatomy"),
        (0.1, 0.1, "not light"),
        (0.1, None, "not light"),
        (0.4, 0.0, "mixed"),
        (0.6, 0.3, "mixed"),
        (0.3, 0.6, "mixed"),
    ],
)
def test_the_verdict_follows_the_shares(light: float, anatomy: float | None, verdict: str) -> None:
    assert verdict_of(light, anatomy) == verdict


def test_too_few_ears_get_no_verdict_and_what_does_not_vary_no_correlation() -> None:
    rng = np.random.default_rng(0)
    values = {"brightness": rng.standard_normal(9), "constant": np.ones(9)}
    found = attribute(rng.standard_normal((9, 2)), values, {})
    assert [item.verdict for item in found] == [None, None]
    assert list(found[0].correlations) == ["brightness"]


def test_a_teacher_of_drawn_ears_has_a_component_of_light_and_one_of_anatomy(
    trained: RunFolder, many_ears: Path
) -> None:
    """On 70 ears that it never saw; what was drawn is known from `factors.csv`."""
    manifest = read_manifest(many_ears / "val_teacher.npy")
    pixels = load_crops(manifest, 64, trained.path.parents[1] / ".cache", 2).pixels
    codes = posterior_means(EarVAE.load_from_checkpoint(trained.last), pixels)
    factors = read_factors(many_ears, manifest.paths)
    light = measure_light(pixels) | {name: factors[name] for name in LIGHT_FACTORS}
    anatomy = {name: values for name, values in factors.items() if name not in LIGHT_FACTORS}
    found = attribute(fit_eigenears(codes, 4).project(codes), light, anatomy)
    assert strongest(found, "left").verdict == "anatomy"
    assert strongest(found, "brightness").verdict == "light"


def strongest(found: list[Attribution], factor: str) -> Attribution:
    """The component that goes with a factor, which it must do well."""
    best = max(found, key=lambda item: abs(item.correlations[factor]))
    assert abs(best.correlations[factor]) > 0.8, factor
    return best
