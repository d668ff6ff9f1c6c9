"""Tests of `earcli/analysis/baselines.py`."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from earcli.analysis.baselines import fit_pixel_pca, mean_image, mean_image_psnr
from earcli.analysis.evaluation import Evaluator
from earcli.data.batches import as_images
from earcli.models.vae import EarVAE

UNKNOWN = np.full(12, -1)


def images_of(pixels: np.ndarray) -> Tensor:
    return as_images(torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2))


def test_the_pca_is_that_of_scikit_learn(pixels: np.ndarray) -> None:
    fitted = fit_pixel_pca(pixels, 4, seed=0)
    flat = images_of(pixels).flatten(1).numpy()
    reference = PCA(4, svd_solver="full").fit(flat)
    np.testing.assert_allclose(fitted.explained, reference.explained_variance_ratio_, rtol=1e-3)
    expected = reference.inverse_transform(reference.transform(flat)).clip(-1, 1)
    made = fitted.reconstruct(images_of(pixels), 4).flatten(1).numpy()
    assert np.abs(made - expected).mean() < 1e-3
    assert fitted.fitted_on == 12


def test_baselines_count_what_they_can_have_and_say_when_they_win(model: EarVAE, pixels: np.ndarray) -> None:
    result = Evaluator(model, pixels, UNKNOWN).evaluate(pixels)
    baselines = result.metrics["baselines"]
    assert baselines["mean_image"]["psnr"]["value"] == pytest.approx(mean_image_psnr(pixels, pixels), abs=1e-3)
    assert baselines["pca_code_dim"]["components"] == 6
    assert baselines["pca_active_units"]["components"] == result.metrics["latent"]["active_units"]
    assert any(note.endswith("below that of a PCA of 6 components.") for note in result.notes)
    assert fit_pixel_pca(pixels[:3], 6, seed=0).components.shape[0] == 2
    np.testing.assert_allclose(mean_image(pixels), pixels.mean(axis=0) / 255, rtol=1e-5)
