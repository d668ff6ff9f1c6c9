"""Every term against another implementation of its formula."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from earcli.losses import pixel
from earcli.losses.pixel import edge, edge_each, l1, l1_each


def test_losses_are_means_of_what_each_image_has() -> None:
    difference = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for whole, each in ((edge, edge_each), (l1, l1_each)):
        torch.testing.assert_close(each(difference), torch.stack([whole(d[None]) for d in difference]))


def test_l1(pair: tuple[Tensor, Tensor]) -> None:
    assert pixel.l1(pair[0] - pair[1]).item() == pytest.approx(np.abs(pair[0].numpy() - pair[1].numpy()).mean())


def test_ssim_loss_is_one_minus_torchmetrics_ssim(pair: tuple[Tensor, Tensor]) -> None:
    a, b = (pair[0] + 1) / 2, (pair[1] + 1) / 2
    expected = 1 - structural_similarity_index_measure(a, b, data_range=1.0)
    assert pixel.ssim_loss(*pair).item() == pytest.approx(expected.item(), abs=1e-6)
    assert pixel.ssim_loss(pair[0], pair[0]).item() == pytest.approx(0, abs=1e-6)


def test_edge_is_the_difference_of_sobel_gradients(pair: tuple[Tensor, Tensor]) -> None:
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8

    def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
        flat = F.pad(images, (1, 1, 1, 1), mode="replicate").flatten(0, 1)[:, None]
        return F.conv2d(flat, kernel[None, None]), F.conv2d(flat, kernel.T[None, None])

    (ax, ay), (bx, by) = gradients(pair[0]), gradients(pair[1])
    expected = (ax - bx).abs().mean() + (ay - by).abs().mean()
    assert pixel.edge(pair[0] - pair[1]).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_ramp_has_the_gradient_that_it_rises_by() -> None:
    ramp = torch.arange(64.0).expand(1, 3, 64, 64)
    assert pixel.edge(ramp).item() == pytest.approx((62 * 1 + 2 * 0.5) / 64)  # half at either padded border


def test_center_counts_the_middle_most(pair: tuple[Tensor, Tensor]) -> None:
    difference = (pair[0] - pair[1]).double().numpy()
    side = (np.arange(64) + 0.5) / 64 - 0.5
    mask = np.exp(-(side[:, None] ** 2 + side[None, :] ** 2) / (2 * 0.35**2))
    expected = np.mean([(mask * np.abs(d)).sum() / (3 * mask.sum()) for d in difference])
    assert pixel.center(pair[0] - pair[1]).item() == pytest.approx(expected, rel=1e-5)
    assert pixel.center(torch.full((2, 3, 64, 64), 0.25)).item() == pytest.approx(0.25)


@pytest.mark.parametrize("term", [pixel.edge, pixel.center])
def test_gradients_of_pixel_terms(term: object) -> None:
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True)
    assert torch.autograd.gradcheck(term, (x,))


def test_ssim_gradient_points_to_the_target(pair: tuple[Tensor, Tensor]) -> None:
    x = pair[0].clone().requires_grad_()
    pixel.ssim_loss(x, pair[1]).backward()
    assert x.grad is not None
    step = 1e-3
    direction = x.grad / x.grad.norm()
    slope = pixel.ssim_loss(pair[0] + step * direction, pair[1]) - pixel.ssim_loss(pair[0] - step * direction, pair[1])
    assert slope.item() / (2 * step) == pytest.approx(x.grad.norm().item(), rel=0.02)
