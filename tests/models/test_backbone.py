"""Tests of `earcli/models/backbone.py`."""

import torch
import torchvision

from earcli.models.vae import EarVAE


def test_a_loaded_trunk_computes_what_torchvision_computes() -> None:
    torch.manual_seed(0)
    resnet = torchvision.models.resnet18(weights=None).eval()
    model = EarVAE(4, 64, "resnet18").eval()
    model.encoder.load_backbone({k: v for k, v in resnet.state_dict().items() if not k.startswith("fc.")})
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(images))))
        expected = resnet.layer4(resnet.layer3(resnet.layer2(resnet.layer1(x))))
        assert torch.equal(model.encoder.extract_features(images)["stride32"], expected)
