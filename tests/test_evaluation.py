"""Evaluating a teacher: the figures against references, and what makes them bad."""

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from earcli.analysis.baselines import fit_pixel_pca, mean_image, mean_image_psnr
from earcli.analysis.evaluation import Evaluator
from earcli.analysis.verdict import Targets, metric_rows
from earcli.data.batches import as_images
from earcli.errors import DataError
from earcli.losses.pixel import edge, edge_each, l1, l1_each
from earcli.metrics.intervals import bootstrap_interval
from earcli.metrics.latent import kl_each, mean_abs_cosine
from earcli.models.vae import EarVAE

UNKNOWN = np.full(12, -1)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """12 smooth pictures."""
    coarse = torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear")
    return (smooth * 255).byte().permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="module")
def model() -> EarVAE:
    torch.manual_seed(0)
    model = EarVAE(latent_dim=6, image_size=64, resnet_version="resnet18").eval()
    torch.nn.init.normal_(model.encoder.logvar_head.weight, std=0.1)
    return model


def images_of(pixels: np.ndarray) -> Tensor:
    return as_images(torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2))


def test_the_figures_are_those_of_the_references(model: EarVAE, pixels: np.ndarray) -> None:
    result = Evaluator(model, pixels, UNKNOWN, batch_size=5).evaluate(None)
    images = images_of(pixels)
    with torch.no_grad():
        mu, logvar = model.encoder(images)
        made = model.decode(mu)
    a, b = (made + 1) / 2, (images + 1) / 2
    found = result.metrics["reconstruction"]
    each = peak_signal_noise_ratio(a, b, data_range=1.0, reduction="none", dim=(1, 2, 3))
    assert found["psnr"]["value"] == pytest.approx(float(each.mean()), rel=1e-5)
    assert found["psnr_pooled"]["value"] == pytest.approx(
        float(peak_signal_noise_ratio(a, b, data_range=1.0)), rel=1e-5
    )
    assert found["ssim"]["value"] == pytest.approx(
        float(structural_similarity_index_measure(a, b, data_range=1.0)), abs=5e-5
    )  # fp32 on smooth pictures: both subtract nearly equal numbers
    assert found["l1"]["value"] == pytest.approx(float((made - images).abs().mean()), rel=1e-5)
    np.testing.assert_allclose(result.per_image["psnr"], each, rtol=1e-5)
    latent = result.metrics["latent"]
    exact = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0))
    assert latent["kl_nats"] == pytest.approx(float(exact.sum(1).mean()), rel=1e-4)
    np.testing.assert_allclose(result.kl, exact.mean(0), rtol=1e-4)
    cosines = np.abs(cosine_similarity(mu))[~np.eye(12, dtype=bool)]
    assert latent["mean_abs_cosine"] == pytest.approx(cosines.mean(), rel=1e-4)
    assert latent["active_units"] == int((mu.var(0) > 0.01).sum())
    assert latent["deterministic"] is True
    assert result.metrics["people"] is None


def test_every_code_is_swapped_for_another(model: EarVAE, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.arange(12.0)[:, None].expand(12, 6)
    evaluator = Evaluator(model, pixels, UNKNOWN, batch_size=12)
    seen: list[Tensor] = []
    monkeypatch.setattr(model, "decode", lambda z: seen.append(z[:, 0]) or torch.zeros(len(z), 3, 64, 64))
    evaluator._shuffled_psnr(codes.numpy())
    assert sorted(seen[0].tolist()) == list(range(12))
    assert (seen[0] != torch.arange(12)).all()


def test_a_decoder_that_ignores_its_code_gains_nothing_and_chance_is_noticed(
    model: EarVAE, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "decode", lambda z: torch.zeros(len(z), 3, 64, 64))
    latent = Evaluator(model, pixels, UNKNOWN).evaluate(None).metrics["latent"]
    assert latent["code_gain_db"] == 0
    assert latent["deterministic"] is True
    monkeypatch.setattr(model, "decode", lambda z: torch.rand(len(z), 3, 64, 64))
    assert Evaluator(model, pixels, UNKNOWN).evaluate(None).metrics["latent"]["deterministic"] is False


def test_one_picture_is_too_few(model: EarVAE, pixels: np.ndarray) -> None:
    with pytest.raises(DataError, match="needs at least 2 images, got 1"):
        Evaluator(model, pixels[:1], UNKNOWN[:1]).evaluate(None)


def test_people_are_told_apart_where_they_are_known(model: EarVAE, pixels: np.ndarray) -> None:
    twice = np.concatenate([pixels, np.clip(pixels.astype(int) + 1, 0, 255).astype(np.uint8)])
    people = Evaluator(model, twice, np.tile(np.arange(12), 2)).evaluate(None).metrics["people"]
    assert (people["people"], people["rank_1"], people["genuine_pairs"]) == (12, 1.0, 12)
    assert people["auc"] > 0.99
    lonely = Evaluator(model, pixels, np.arange(12)).evaluate(None)
    assert lonely.metrics["people"] is None
    assert "needs two people" in lonely.notes[0]


# -- baselines


def test_the_pca_is_that_of_scikit_learn(pixels: np.ndarray) -> None:
    fitted = fit_pixel_pca(pixels, 4, seed=0)
    flat = images_of(pixels).flatten(1).numpy()
    reference = PCA(4, svd_solver="full").fit(flat)
    np.testing.assert_allclose(fitted.explained, reference.explained_variance_ratio_, rtol=1e-3)
    expected = reference.inverse_transform(reference.transform(flat)).clip(-1, 1)
    made = fitted.reconstruct(images_of(pixels), 4).flatten(1).numpy()
    assert np.abs(made - expected).mean() < 1e-3
    assert fitted.fitted_on == 12


def test_baselines_count_what_they_can_have_and_say_when_they_win(model: EarVAE, pixels: np.ndarray) -> None:
    result = Evaluator(model, pixels, UNKNOWN).evaluate(pixels)
    baselines = result.metrics["baselines"]
    assert baselines["mean_image"]["psnr"]["value"] == pytest.approx(mean_image_psnr(pixels, pixels), abs=1e-3)
    assert baselines["pca_latent_dim"]["components"] == 6
    assert baselines["pca_active_units"]["components"] == result.metrics["latent"]["active_units"]
    assert any(note.endswith("below that of a PCA of 6 components.") for note in result.notes)
    assert fit_pixel_pca(pixels[:3], 6, seed=0).components.shape[0] == 2
    np.testing.assert_allclose(mean_image(pixels), pixels.mean(axis=0) / 255, rtol=1e-5)


# -- pure functions


def test_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=(80, 2))
    low, high = bootstrap_interval(values, seed=1)
    for column in range(2):
        exact = bootstrap((values[:, column],), np.mean, n_resamples=20_000, method="percentile", rng=2)
        assert low[column] == pytest.approx(exact.confidence_interval.low, abs=0.02)
        assert high[column] == pytest.approx(exact.confidence_interval.high, abs=0.02)


def test_pictures_of_one_person_do_not_make_the_mean_surer() -> None:
    people = np.random.default_rng(0).normal(size=(40, 1))
    low, high = bootstrap_interval(people)
    copies = bootstrap_interval(np.repeat(people, 25, axis=0), np.repeat(np.arange(40), 25))
    np.testing.assert_allclose(copies[:, 0], [low[0], high[0]], atol=0.02)
    blind = bootstrap_interval(np.repeat(people, 25, axis=0))
    assert np.ptp(blind[:, 0]) < 0.3 * np.ptp(copies[:, 0])


def test_losses_are_means_of_what_each_image_has() -> None:
    difference = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for whole, each in ((edge, edge_each), (l1, l1_each)):
        torch.testing.assert_close(each(difference), torch.stack([whole(d[None]) for d in difference]))


def test_cosine_and_kl_at_the_ends() -> None:
    line = torch.tensor([[1.0, 0], [-3, 0], [0.5, 0]])
    assert mean_abs_cosine(line) == pytest.approx(1)
    assert mean_abs_cosine(torch.eye(5)) == 0
    assert kl_each(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [[0] * 3] * 2


def test_targets_decide_the_verdicts(model: EarVAE, pixels: np.ndarray) -> None:
    metrics = Evaluator(model, pixels, UNKNOWN).evaluate(None).metrics
    easy, hard = Targets(0, -1, 0, -99, 1), Targets(99, 1, 1.1, 99, -1)
    for targets, wanted in ((easy, True), (hard, False)):
        verdicts = [row.verdict for row in metric_rows(metrics, targets) if row.verdict is not None]
        assert verdicts == [wanted] * 5 + [True]  # the last is whether it repeats, which no target moves
