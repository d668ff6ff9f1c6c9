"""Tests of `earcli/models/convolution.py`."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from earcli.models.convolution import Conv3x3, conv3x3_as_product
from earcli.models.encoder import EarEncoder


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(3, 5, 4, 4), (2, 5, 2, 2), (1, 5, 3, 5), (2, 5, 1, 1)])
def test_the_product_is_the_convolution(shape: tuple[int, ...], stride: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.double, requires_grad=True)
    weight = torch.randn(4, 5, 3, 3, dtype=torch.double, requires_grad=True)
    ours, theirs = conv3x3_as_product(x, weight, stride), F.conv2d(x, weight, stride=stride, padding=1)
    torch.testing.assert_close(ours, theirs)
    cotangent = torch.randn_like(theirs)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (x, weight), cotangent), torch.autograd.grad(theirs, (x, weight), cotangent)
    )


def test_the_product_is_taken_where_maps_are_small_and_the_model_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def spy(x: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
        taken.append(x.shape[-1])
        return conv3x3_as_product(x, weight, stride)

    monkeypatch.setattr("earcli.models.convolution.conv3x3_as_product", spy)
    encoder = EarEncoder(8, 64, "resnet18")
    images = torch.rand(2, 3, 64, 64)
    encoder.eval()(images)
    assert taken == []  # an export sees ordinary convolutions
    encoder.train()(images)
    assert set(taken) == {8, 4, 2}


def test_replacing_keeps_weights_and_values() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 2, 1))
    fast = copy.deepcopy(plain)
    Conv3x3.replace_in(fast)
    assert [type(m) for m in fast] == [Conv3x3, nn.Conv2d, nn.Conv2d]
    assert fast.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(fast.train()(x), plain(x))
    torch.testing.assert_close(fast.eval()(x), plain(x))
