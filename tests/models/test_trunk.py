"""Tests of `earcli/models/trunk.py`."""

import torch
import torchvision
from torchvision.models.feature_extraction import create_feature_extractor

from earcli.models.trunk import ResNetTrunk


def test_the_maps_of_a_resnet_are_those_of_torchvision() -> None:
    torch.manual_seed(0)
    resnet = torchvision.models.resnet18(weights=None).eval()
    expected = create_feature_extractor(resnet, [f"layer{n}" for n in range(1, 5)])
    trunk = ResNetTrunk("resnet18").eval()
    trunk.load_pretrained({k: v for k, v in resnet.state_dict().items() if not k.startswith("fc.")})
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for got, wanted, channels in zip(trunk(images), expected(images).values(), trunk.channels, strict=True):
            assert torch.equal(got, wanted)
            assert got.shape[1] == channels


def test_every_parameter_is_in_one_layer_from_input_to_output() -> None:
    trunk = ResNetTrunk("resnet50")
    layers = trunk.parameter_layers()
    assert layers[0][0] is trunk.stem[0].weight
    assert [id(p) for layer in layers for p in layer] == [id(p) for p in trunk.parameters()]
