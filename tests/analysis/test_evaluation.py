"""Evaluating a teacher: the figures against references, and what makes them bad."""

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from earcli.analysis.evaluation import Evaluator
from earcli.data.batches import as_images
from earcli.errors import DataError
from earcli.models.vae import EarVAE

UNKNOWN = np.full(12, -1)


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
