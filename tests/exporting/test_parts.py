"""Tests of `earcli/exporting/parts.py`."""

from pathlib import Path

import pytest
import torch

from earcli.exporting.parts import detector_part, make_part
from earcli.models.detector import EarDetector
from earcli.models.vae import EarVAE


@pytest.fixture(scope="module")
def model() -> EarVAE:
    """In eval mode, with parts that depend on their input."""
    torch.manual_seed(0)
    model = EarVAE(8, 64, "resnet18").eval()
    torch.nn.init.normal_(model.decoder.to_rgb.weight, std=0.1)
    torch.nn.init.normal_(model.encoder.logvar_head.weight, std=0.1)
    return model


def test_the_parts_of_a_teacher_compute_what_it_computes(model: EarVAE) -> None:
    encoder, decoder, vae, features = (make_part(model, name) for name in ("encoder", "decoder", "vae", "features"))
    assert (decoder.input, decoder.example.shape) == ("z", (2, 8))
    for part in (encoder, vae, features):
        assert (part.input, part.example.shape) == ("images", (2, 3, 64, 64))
        assert part.example.abs().max() <= 1
    with torch.no_grad():
        output = model(encoder.example)
        expected = {"mu": output.posterior.mu, "logvar": output.posterior.logvar}
        torch.testing.assert_close(encoder.module(encoder.example), expected)
        torch.testing.assert_close(vae.module(vae.example), {"reconstruction": output.reconstruction, **expected})
        torch.testing.assert_close(decoder.module(decoder.example), {"reconstruction": model.decode(decoder.example)})
    names = ("stride4", "stride8", "stride16", "stride32", "adapt1", "adapt2", "adapt3")
    assert features.outputs == names
    sides = {name: value.shape[-1] for name, value in features.module(features.example).items()}
    assert sides == dict(zip(names, (16, 8, 4, 2, 2, 2, 2), strict=True))
    assert (encoder.outputs, vae.outputs) == (("mu", "logvar"), ("reconstruction", "mu", "logvar"))


def test_a_part_is_deterministic_without_gradients_and_keeps_the_names_of_the_weights(model: EarVAE) -> None:
    model.train()
    part = make_part(model, "vae")
    assert torch.equal(*(part.module(part.example)["reconstruction"] for _ in range(2)))
    assert not any(module.training for module in part.module.modules())
    assert not any(value.requires_grad for value in part.module.parameters())
    assert part.module.state_dict().keys() == model.state_dict().keys()
    encoder = make_part(model, "encoder").module.state_dict()
    assert encoder.keys() == {name for name in model.state_dict() if name.startswith("encoder.")}


def test_a_detectors_part_gives_its_boxes_and_logits_for_images_of_its_side(model: EarVAE) -> None:
    detector = EarDetector(model.encoder, model.decoder, num_landmarks=3).eval()
    part = detector_part(detector, 96)
    assert (part.input, part.example.shape, part.outputs) == ("images", (2, 3, 96, 96), ("boxes", "keypoints"))
    with torch.no_grad():
        boxes, keypoints = detector(part.example)
        torch.testing.assert_close(part.module(part.example), {"boxes": boxes, "keypoints": keypoints})


def test_parts_of_a_teacher_that_mirrors_right_ears_give_back_the_side_of_the_image(teacher: Path) -> None:
    model = EarVAE.load_from_checkpoint(teacher)
    assert model.laterality is not None
    encoder, vae = make_part(model, "encoder"), make_part(model, "vae")
    images = torch.cat([encoder.example, encoder.example.flip(3)])  # two of the four are taken for right ears
    with torch.no_grad():
        outputs, output = vae.module(images), model(images)
        torch.testing.assert_close(outputs["reconstruction"], output.reconstruction)
        torch.testing.assert_close(outputs["right"], model.laterality(images))
        assert (outputs["right"] > 0).sum() == 2
        torch.testing.assert_close({"reconstruction": output.reconstruction, **encoder.module(images)}, outputs)
    assert vae.outputs == ("reconstruction", *encoder.outputs) == ("reconstruction", "mu", "logvar", "right")
