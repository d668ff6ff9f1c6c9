"""Every term against another implementation of its formula."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from earcli.losses import latent, pixel
from earcli.losses.objective import TERMS, Objective
from earcli.losses.perceptual import PerceptualLoss


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    """A reconstruction and a target, (3, 3, 64, 64) in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 3, 64, 64, generator=generator) * 2 - 1
    return (target + 0.3 * torch.randn(target.shape, generator=generator)).clamp(-1, 1), target


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


def test_kl_is_that_of_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(1)
    mu, logvar = torch.randn(5, 7, generator=generator), torch.randn(5, 7, generator=generator)
    posterior = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    prior = torch.distributions.Normal(torch.zeros(7), torch.ones(7))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    assert latent.kl_nats(mu, logvar).item() == pytest.approx(expected.item(), rel=1e-5)
    assert latent.kl_nats(torch.zeros(2, 3), torch.zeros(2, 3)).item() == 0


def reference_nt_xent(first: np.ndarray, second: np.ndarray, subjects: list[int]) -> float:
    """Equation 1 of Chen et al. 2020, one draw at a time."""
    z = np.concatenate([first, second])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    count, losses = len(first), []
    for i in range(2 * count):
        partner = (i + count) % (2 * count)
        similarities = {}
        for k in range(2 * count):
            same = subjects[i % count] == subjects[k % count] >= 0
            if k != i and (k == partner or not same):
                similarities[k] = math.exp(z[i] @ z[k] / 0.5)
        losses.append(-math.log(similarities[partner] / sum(similarities.values())))
    return float(np.mean(losses))


@pytest.mark.parametrize("subjects", [[-1, -1, -1, -1], [0, 0, 1, -1]])
def test_contrastive_is_nt_xent_without_the_own_subject(subjects: list[int]) -> None:
    generator = torch.Generator().manual_seed(2)
    first, second = torch.randn(4, 6, generator=generator), torch.randn(4, 6, generator=generator)
    expected = reference_nt_xent(first.double().numpy(), second.double().numpy(), subjects)
    assert latent.nt_xent(first, second, torch.tensor(subjects)).item() == pytest.approx(expected, rel=1e-5)


def test_contrastive_of_one_ear_is_zero() -> None:
    assert latent.nt_xent(torch.ones(1, 4), torch.ones(1, 4)).item() == 0


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


def random_vgg() -> torch.nn.Module:
    torch.manual_seed(4)
    with torch.device("meta"):
        vgg = torchvision.models.vgg16(weights=None)
    features = vgg.features[:22].to_empty(device="cpu")
    for module in features:
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
            torch.nn.init.normal_(module.bias, std=0.1)
    return features.eval()


def test_perceptual_is_the_mean_over_four_layers_of_vgg16(pair: tuple[Tensor, Tensor]) -> None:
    features = random_vgg()
    loss = PerceptualLoss({f"features.{name}": value for name, value in features.state_dict().items()})

    def layers(images: Tensor) -> list[Tensor]:
        normalize = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        x, result = normalize((images + 1) / 2), []
        for index, module in enumerate(features):
            x = F.relu(x) if isinstance(module, torch.nn.ReLU) else module(x)
            if index in (3, 8, 15):
                result.append(x)
        return [*result, F.relu(x)]

    with torch.no_grad():
        expected = np.mean([(a - b).abs().mean().item() for a, b in zip(layers(pair[0]), layers(pair[1]), strict=True)])
        assert loss(*pair).item() == pytest.approx(expected, rel=1e-4)
        alone = [loss(a[None], b[None]).item() for a, b in zip(*pair, strict=True)]
        assert loss.each(*pair).tolist() == pytest.approx(alone, rel=1e-4)


def test_vgg_is_frozen_and_in_no_checkpoint(pair: tuple[Tensor, Tensor]) -> None:
    loss = PerceptualLoss({f"features.{name}": value for name, value in random_vgg().state_dict().items()})
    assert list(loss.parameters()) == []
    assert loss.state_dict() == {}
    x = pair[0].clone().requires_grad_()
    loss(x, pair[1]).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_the_total_is_the_weighted_sum_and_terms_are_unweighted(pair: tuple[Tensor, Tensor]) -> None:
    mu, logvar = torch.randn(3, 4, generator=torch.Generator().manual_seed(5)), torch.zeros(3, 4)
    samples = (mu, mu + 0.1)
    losses = Objective(None)(*pair, mu, logvar, samples=samples, kl_weight=0.01)
    t = {name: value.item() for name, value in losses.terms.items()}
    assert set(t) == set(TERMS) - {"perceptual"}
    assert t["kl"] == pytest.approx(latent.kl_nats(mu, logvar).item() / 4)
    expected = t["l1"] + t["ssim_loss"] + 0.5 * t["edge"] + 0.05 * t["contrastive"] + 3 * t["center"] + 0.01 * t["kl"]
    assert losses.total.item() == pytest.approx(expected, rel=1e-6)


def test_a_weight_of_zero_computes_nothing(pair: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> Tensor:
        raise AssertionError("computed")

    for module, name in ((pixel, "ssim_loss"), (pixel, "edge"), (pixel, "center"), (latent, "nt_xent")):
        monkeypatch.setattr(module, name, never)
    objective = Objective(None, ssim_weight=0, edge_weight=0, contrastive_weight=0, center_weight=0)
    mu = torch.ones(3, 4)
    losses = objective(*pair, mu, torch.zeros(3, 4), samples=(mu, mu), kl_weight=0.0)
    assert losses.total.item() == pytest.approx(losses.terms["l1"].item())


def test_terms_are_fp32_under_autocast(pair: tuple[Tensor, Tensor]) -> None:
    mu = torch.ones(3, 4)
    plain = Objective(None)(*pair, mu, torch.zeros(3, 4), samples=(mu, mu), kl_weight=0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = Objective(None)(*pair, mu, torch.zeros(3, 4), samples=(mu, mu), kl_weight=0.01)
    for name, value in plain.terms.items():
        assert mixed.terms[name].dtype == torch.float32
        assert mixed.terms[name].item() == pytest.approx(value.item(), rel=1e-6)
