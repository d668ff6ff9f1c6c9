"""Tests of `earcli/metrics/latent.py`."""

import pytest
import torch

from earcli.metrics.latent import active_units, kl_each, mean_abs_cosine


def test_cosine_and_kl_at_the_ends() -> None:
    line = torch.tensor([[1.0, 0], [-3, 0], [0.5, 0]])
    assert mean_abs_cosine(line) == pytest.approx(1)
    assert mean_abs_cosine(torch.eye(5)) == 0
    assert kl_each(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [[0] * 3] * 2


def test_active_units_are_those_that_vary() -> None:
    assert active_units(torch.tensor([0.0, 0.01, 0.0101, 4])) == 2
