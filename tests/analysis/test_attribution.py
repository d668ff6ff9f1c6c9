"""Tests of `earcli/analysis/attribution.py`."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from earcli.analysis.attribution import Attribution, attribute, explained_share, measure_light, verdict_of
from earcli.analysis.eigenears import fit_eigenears
from earcli.analysis.encoding import posterior_means
from earcli.data.cache import load_crops
from earcli.data.manifest import read_manifest
from earcli.models.vae import EarVAE
from earcli.synthetic.anatomy import LIGHT_FACTORS
from earcli.synthetic.dataset import read_factors
from earcli.tasks.train import train

Array = np.ndarray


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


@pytest.mark.slow
def test_a_teacher_of_drawn_ears_has_a_component_of_light_and_one_of_anatomy(many_ears: Path, tmp_path: Path) -> None:
    """On 70 ears that it never saw; what was drawn is known from `factors.csv`."""
    manifest = read_manifest(many_ears / "val_teacher.npy")
    pixels = load_crops(manifest, 64, tmp_path / ".cache", 2).pixels
    sets = {"train_manifest": many_ears / "train_teacher.npy", "val_manifest": many_ears / "val_teacher.npy"}
    knobs = {"latent_dim": 16, "skeleton_dim": 0, "batch_size": 4, "contrastive_weight": 0.0, "ema_decay": 0.5}
    run = train(preset="tiny", epochs=3, precision="32", run_dir=tmp_path, **sets, **knobs)
    codes = posterior_means(EarVAE.load_from_checkpoint(run.last), pixels)
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
