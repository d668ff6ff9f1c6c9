"""Tests of `earcli/losses/perceptual.py`."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from earcli.losses.perceptual import PerceptualLoss


def random_vgg() -> torch.nn.Module:
    torch.manual_seed(4)
    with torch.device("meta"):
        vgg = torchvision.models.vgg16(weights=None)
    features = vgg.features[:22].to_empty(device="cpu")
    for module in features:
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
            torch.nn.init.normal_(module.bias, std=0.1)
    return features.eval()


def test_perceptual_is_the_mean_over_four_layers_of_vgg16(pair: tuple[Tensor, Tensor]) -> None:
    features = random_vgg()
    loss = PerceptualLoss({f"features.{name}": value for name, value in features.state_dict().items()})

    def layers(images: Tensor) -> list[Tensor]:
        normalize = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        x, result = normalize((images + 1) / 2), []
        for index, module in enumerate(features):
            x = F.relu(x) if isinstance(module, torch.nn.ReLU) else module(x)
            if index in (3, 8, 15):
                result.append(x)
        return [*result, F.relu(x)]

    with torch.no_grad():
        expected = np.mean([(a - b).abs().mean().item() for a, b in zip(layers(pair[0]), layers(pair[1]), strict=True)])
        assert loss(*pair).item() == pytest.approx(expected, rel=1e-4)
        alone = [loss(a[None], b[None]).item() for a, b in zip(*pair, strict=True)]
        assert loss.each(*pair).tolist() == pytest.approx(alone, rel=1e-4)


def test_vgg_is_frozen_and_in_no_checkpoint(pair: tuple[Tensor, Tensor]) -> None:
    loss = PerceptualLoss({f"features.{name}": value for name, value in random_vgg().state_dict().items()})
    assert list(loss.parameters()) == []
    assert loss.state_dict() == {}
    x = pair[0].clone().requires_grad_()
    loss(x, pair[1]).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
