"""Tests of `earcli/losses/latent.py`."""

import math

import numpy as np
import pytest
import torch

from earcli.losses import latent


def test_kl_is_that_of_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(1)
    mu, logvar = torch.randn(5, 7, generator=generator), torch.randn(5, 7, generator=generator)
    posterior = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    prior = torch.distributions.Normal(torch.zeros(7), torch.ones(7))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    assert latent.kl_nats(mu, logvar).item() == pytest.approx(expected.item(), rel=1e-5)
    assert latent.kl_nats(torch.zeros(2, 3), torch.zeros(2, 3)).item() == 0


def reference_nt_xent(first: np.ndarray, second: np.ndarray, subjects: list[int]) -> float:
    """Equation 1 of Chen et al. 2020, one draw at a time."""
    z = np.concatenate([first, second])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    count, losses = len(first), []
    for i in range(2 * count):
        partner = (i + count) % (2 * count)
        similarities = {}
        for k in range(2 * count):
            same = subjects[i % count] == subjects[k % count] >= 0
            if k != i and (k == partner or not same):
                similarities[k] = math.exp(z[i] @ z[k] / 0.5)
        losses.append(-math.log(similarities[partner] / sum(similarities.values())))
    return float(np.mean(losses))


@pytest.mark.parametrize("subjects", [[-1, -1, -1, -1], [0, 0, 1, -1]])
def test_contrastive_is_nt_xent_without_the_own_subject(subjects: list[int]) -> None:
    generator = torch.Generator().manual_seed(2)
    first, second = torch.randn(4, 6, generator=generator), torch.randn(4, 6, generator=generator)
    expected = reference_nt_xent(first.double().numpy(), second.double().numpy(), subjects)
    assert latent.nt_xent(first, second, torch.tensor(subjects)).item() == pytest.approx(expected, rel=1e-5)


def test_contrastive_of_one_ear_is_zero() -> None:
    assert latent.nt_xent(torch.ones(1, 4), torch.ones(1, 4)).item() == 0
