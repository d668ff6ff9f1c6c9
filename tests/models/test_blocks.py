"""Tests of `earcli/models/blocks.py`."""

import pytest
import torch
from torch import Tensor

from earcli.models.blocks import SpatialAttention


def test_attention_is_the_same_when_it_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    attention = SpatialAttention(3).train()
    x = torch.randn(2, 5, 4, 4, requires_grad=True)
    plain = attention(x)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    monkeypatch.setattr(Tensor, "amax", None)  # its gradient is what translation makes NaN of
    other = attention(x)
    torch.testing.assert_close(other, plain)
    gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in (plain, other)]
    torch.testing.assert_close(gradients[1], gradients[0])
