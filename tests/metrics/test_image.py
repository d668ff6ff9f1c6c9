"""Image metrics against torchmetrics."""

import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from earcli.metrics.image import psnr, psnr_from_mse, ssim, to_unit


@pytest.mark.parametrize("noise", [0.01, 0.2])
def test_psnr_and_ssim_agree_with_torchmetrics(noise: float) -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(4, 3, 64, 64, generator=generator)
    b = (a + noise * torch.randn(a.shape, generator=generator)).clamp(0, 1)
    expected = peak_signal_noise_ratio(a, b, data_range=1.0, reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(psnr(a, b), expected)
    each = structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")
    torch.testing.assert_close(ssim(a, b), each, atol=1e-5, rtol=0)


def test_pooled_psnr_is_that_of_the_mean_error() -> None:
    assert psnr_from_mse(torch.tensor(0.01)).item() == pytest.approx(20)


def test_the_same_image_twice_has_100_db_and_not_infinity() -> None:
    assert psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)).item() == pytest.approx(100)


def test_to_unit_maps_the_ends() -> None:
    assert to_unit(torch.tensor([-1.0, 0, 1])).tolist() == [0, 0.5, 1]
