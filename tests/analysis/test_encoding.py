"""What the encoder makes of a manifest's crops, and how a command gets at them."""

import numpy as np
import pytest
import torch

from earcli.analysis.encoding import choose_device, posterior_means, posteriors
from earcli.data.batches import as_images, as_pixels
from earcli.errors import CheckpointError, ConfigError
from earcli.models.vae import EarVAE


@pytest.fixture(scope="module")
def model() -> EarVAE:
    torch.manual_seed(0)
    return EarVAE(latent_dim=8, image_size=64, encoder="resnet18")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)


def test_posterior_means_are_those_of_the_model_whatever_the_batch(model: EarVAE, pixels: np.ndarray) -> None:
    model.train()
    means = posterior_means(model, pixels, batch_size=2)
    assert model.training  # as it was
    with torch.no_grad():
        expected = model.eval().encode(as_images(torch.from_numpy(pixels).permute(0, 3, 1, 2)))
    assert (means.shape, means.dtype) == ((5, 8), np.float32)
    np.testing.assert_allclose(means, expected.numpy(), atol=1e-5)


def test_a_teacher_that_makes_nan_is_refused(model: EarVAE, pixels: np.ndarray) -> None:
    broken = EarVAE(latent_dim=8, image_size=64, encoder="resnet18")
    with torch.no_grad():
        broken.encoder.mu_head.bias[3] = torch.nan
    with pytest.raises(CheckpointError, match="NaN or infinity for 5 of 5 images"):
        posteriors(broken, pixels)


def test_pixels_survive_the_way_to_images_and_back(pixels: np.ndarray) -> None:
    images = as_images(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    np.testing.assert_array_equal(as_pixels(images), pixels)


def test_a_device_that_is_not_there_is_an_error() -> None:
    assert choose_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match="`device` cuda is not available on this machine"):
        choose_device("cuda")
