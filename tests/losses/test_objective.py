"""Tests of `earcli/losses/objective.py`."""

import pytest
import torch
from torch import Tensor

from earcli.losses import latent, pixel
from earcli.losses.objective import TERMS, Objective


def test_the_total_is_the_weighted_sum_and_terms_are_unweighted(pair: tuple[Tensor, Tensor]) -> None:
    mu, logvar = torch.randn(3, 4, generator=torch.Generator().manual_seed(5)), torch.zeros(3, 4)
    samples = (mu, mu + 0.1)
    losses = Objective(None)(*pair, mu, logvar, samples=samples, kl_weight=0.01)
    t = {name: value.item() for name, value in losses.terms.items()}
    assert set(t) == set(TERMS) - {"perceptual"}
    assert t["kl"] == pytest.approx(latent.kl_nats(mu, logvar).item() / 4)
    expected = t["l1"] + t["ssim_loss"] + 0.5 * t["edge"] + 0.05 * t["contrastive"] + 3 * t["center"] + 0.01 * t["kl"]
    assert losses.total.item() == pytest.approx(expected, rel=1e-6)


def test_a_deep_image_counts_with_its_pixel_terms(pair: tuple[Tensor, Tensor]) -> None:
    reconstruction, target = pair
    deep, mu = reconstruction.flip(3), torch.ones(3, 4)
    plain, alone = (Objective(None)(images, target, mu, mu, kl_weight=0.0) for images in (reconstruction, deep))
    both = Objective(None)(reconstruction, target, mu, mu, kl_weight=0.0, deep=deep)
    assert both.terms["deep"].item() == pytest.approx(alone.total.item())
    assert both.total.item() == pytest.approx(plain.total.item() + alone.total.item())


def test_a_weight_of_zero_computes_nothing(pair: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> Tensor:
        raise AssertionError("computed")

    for module, name in ((pixel, "ssim_loss"), (pixel, "edge"), (pixel, "center"), (latent, "nt_xent")):
        monkeypatch.setattr(module, name, never)
    objective = Objective(None, ssim_weight=0, edge_weight=0, contrastive_weight=0, center_weight=0)
    mu = torch.ones(3, 4)
    losses = objective(*pair, mu, torch.zeros(3, 4), samples=(mu, mu), kl_weight=0.0)
    assert losses.total.item() == pytest.approx(losses.terms["l1"].item())


def test_terms_are_fp32_under_autocast(pair: tuple[Tensor, Tensor]) -> None:
    mu = torch.ones(3, 4)
    plain = Objective(None)(*pair, mu, torch.zeros(3, 4), samples=(mu, mu), kl_weight=0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = Objective(None)(*pair, mu, torch.zeros(3, 4), samples=(mu, mu), kl_weight=0.01)
    for name, value in plain.terms.items():
        assert mixed.terms[name].dtype == torch.float32
        assert mixed.terms[name].item() == pytest.approx(value.item(), rel=1e-6)
