"""Fixtures of the tests of losses."""

import pytest
import torch
from torch import Tensor


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    """A reconstruction and a target, (3, 3, 64, 64) in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 3, 64, 64, generator=generator) * 2 - 1
    return (target + 0.3 * torch.randn(target.shape, generator=generator)).clamp(-1, 1), target
