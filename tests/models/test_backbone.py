"""Tests of `earcli/models/backbone.py`."""

import torch
import torchvision
from torchvision.transforms.functional import normalize

from earcli.models.vae import EarVAE


def test_a_loaded_backbone_computes_what_torchvision_computes() -> None:
    torch.manual_seed(0)
    resnet = torchvision.models.resnet18(weights=None).eval()
    pixels = torch.rand(2, 3, 64, 64)
    for stats, images in (
        ("none", pixels * 2 - 1),
        ("encoder", normalize(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])),
    ):
        model = EarVAE(4, 64, "resnet18", input_stats=stats).eval()
        model.encoder.load_backbone({k: v for k, v in resnet.state_dict().items() if not k.startswith("fc.")})
        with torch.no_grad():
            x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(images))))
            expected = resnet.layer4(resnet.layer3(resnet.layer2(resnet.layer1(x))))
            found = model.encoder.extract_features(pixels * 2 - 1)["stride32"]
        torch.testing.assert_close(found, expected)
