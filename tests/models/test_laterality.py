"""Tests of `earcli/models/laterality.py`."""

import numpy as np
import torch

from earcli.models.laterality import CELLS, FEATURES, ORIENTATIONS, Laterality, mirror_where, orientation_features
from earcli.models.vae import EarVAE


def noise(side: int = 64) -> torch.Tensor:
    return torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def fitted() -> Laterality:
    estimator = Laterality()
    estimator.direction.copy_(torch.randn(FEATURES, generator=torch.Generator().manual_seed(1)))
    return estimator


def test_features_are_gradient_histograms_minus_those_of_the_mirror_image() -> None:
    images = noise()[:1]
    gray = images[0].mean(0).reshape(32, 2, 32, 2).mean((1, 3)).numpy()
    expected = []
    for picture in (gray, gray[:, ::-1]):
        padded = np.pad(picture, 1, mode="edge")
        dx, dy = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
        cells = np.zeros((ORIENTATIONS, CELLS, CELLS))
        for k in range(ORIENTATIONS):
            angle = 2 * np.pi * k / ORIENTATIONS
            along = np.maximum(dx * np.cos(angle) + dy * np.sin(angle), 0)
            cells[k] = np.sqrt(np.maximum(along.reshape(8, 4, 8, 4).mean((1, 3)), 1e-4))
        expected.append(cells / np.linalg.norm(cells))
    features = orientation_features(images).numpy().reshape(ORIENTATIONS, CELLS, CELLS)
    np.testing.assert_allclose(features, expected[0] - expected[1], atol=1e-5)


def test_a_mirror_image_has_the_negative_logit_and_contrast_has_no_effect() -> None:
    estimator, images = fitted(), noise(96)
    torch.testing.assert_close(estimator(images.flip(3)), -estimator(images))
    torch.testing.assert_close(estimator(images * 0.3 + 0.2), estimator(images), rtol=0.02, atol=0.02)


def test_autocast_does_not_round_the_logits() -> None:
    estimator, images = fitted(), noise()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(estimator(images), estimator(images.float()))
    assert torch.equal(estimator(images).sign(), fitted()(images).sign())


def test_images_without_contrast_and_unfitted_estimators_mirror_nothing() -> None:
    flat, images = torch.full((2, 3, 64, 64), 0.4), noise()
    torch.testing.assert_close(fitted()(flat), torch.zeros(2), rtol=0, atol=1e-5)
    left, logits = Laterality().to_left(images)
    assert torch.equal(left, images)
    assert not logits.any()


def test_to_left_gives_the_same_image_for_an_ear_and_its_mirror_image() -> None:
    estimator, images = fitted(), noise()
    left, _ = estimator.to_left(images)
    assert torch.equal(left, estimator.to_left(images.flip(3))[0])
    assert torch.equal(left, mirror_where(estimator(images) > 0, images))


def test_a_model_that_mirrors_right_ears_reconstructs_on_the_side_of_the_image() -> None:
    torch.manual_seed(0)
    model = EarVAE(8, 64, "resnet18", skeleton_dim=4, mirror_right=True).eval()
    assert model.laterality is not None
    model.laterality.load_state_dict(fitted().state_dict())
    torch.nn.init.normal_(model.decoder.sketch.weight)
    images = noise()
    with torch.no_grad():
        output, mirrored = model(images), model(images.flip(3))
        torch.testing.assert_close(mirrored.reconstruction, output.reconstruction.flip(3))
        torch.testing.assert_close(mirrored.deep, output.deep.flip(3))
        torch.testing.assert_close(model.encode(images.flip(3)), model.encode(images))
        assert (output.reconstruction - output.reconstruction.flip(3)).abs().max() > 0.1
        left, _ = model.laterality.to_left(images)
        torch.testing.assert_close(model.autoencode(left).reconstruction, model.decode(model.encode(images)))
