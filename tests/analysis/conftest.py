"""Fixtures of the tests of analysis."""

import numpy as np
import pytest
import torch

from earcli.models.vae import EarVAE


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((200, 12)) * np.linspace(3, 0.3, 12) + 5).astype(np.float32)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """12 smooth pictures."""
    coarse = torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear")
    return (smooth * 255).byte().permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="module")
def model() -> EarVAE:
    torch.manual_seed(0)
    model = EarVAE(latent_dim=6, image_size=64, encoder="resnet18").eval()
    torch.nn.init.normal_(model.encoder.logvar_head.weight, std=0.1)
    return model
