"""Fixtures of the tests of models."""

import pytest
import torch

from earcli.models.vae import EarVAE


@pytest.fixture(scope="module")
def model() -> EarVAE:
    torch.manual_seed(0)
    return EarVAE(latent_dim=16, image_size=64, encoder="resnet18")
