"""The architecture: sizes, the pyramid, freezing, what goes in and comes out."""

import pytest
import torch

from earcli.models.skeleton import SkeletonBasis
from earcli.models.vae import EarVAE


def test_the_default_has_116_million_parameters_all_trainable() -> None:
    with torch.device("meta"):
        model = EarVAE()
    count = sum(p.numel() for p in model.parameters())
    assert abs(count / 116.15e6 - 1) < 0.01
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("version", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
@pytest.mark.parametrize("size", [64, 96, 256])
def test_every_trunk_and_size_gives_back_its_size(version: str, size: int) -> None:
    with torch.device("meta"):
        model = EarVAE(32, size, version)
        images = torch.empty(2, 3, size, size)
        output = model(images)
        features = model.encoder.extract_features(images)
    assert output.reconstruction.shape == images.shape
    assert output.posterior.mu.shape == output.posterior.logvar.shape == (2, 32)
    trunk = [64, 128, 256, 512] if version in ("resnet18", "resnet34") else [256, 512, 1024, 2048]
    adapted = [256, 256, 256] if trunk[-1] == 512 else [1024, 512, 512]
    expected = {
        **{f"stride{s}": (2, c, size // s, size // s) for s, c in zip((4, 8, 16, 32), trunk, strict=True)},
        **{f"adapt{n}": (2, c, size // 32, size // 32) for n, c in enumerate(adapted, 1)},
    }
    assert {name: tuple(value.shape) for name, value in features.items()} == expected


def test_eval_decodes_the_mean_and_training_a_draw(model: EarVAE) -> None:
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    output = model.eval()(images)
    assert torch.equal(output.z, output.posterior.mu)
    assert torch.equal(output.reconstruction, model.decode(model.encode(images)))
    assert output.reconstruction.abs().max() <= 1
    first, second = (model.train()(images, torch.Generator().manual_seed(s)).z for s in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(first, model(images, torch.Generator().manual_seed(0)).z)


def test_draws_have_the_mean_and_variance_of_the_posterior(model: EarVAE) -> None:
    mu, logvar = model.eval().encoder(torch.zeros(1, 3, 64, 64))
    posterior = type(model.encoder(torch.zeros(1, 3, 64, 64)))(mu.expand(20_000, -1), logvar.expand(20_000, -1))
    draws = posterior.sample(torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws.mean(0), mu[0], atol=0.01, rtol=0)
    torch.testing.assert_close(draws.var(0), logvar[0].exp(), atol=0, rtol=0.05)


def test_samples_are_images(model: EarVAE) -> None:
    images = model.eval().sample(3, torch.Generator().manual_seed(0))
    assert images.shape == (3, 3, 64, 64)
    assert torch.equal(images, model.sample(3, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 60, 64)])
def test_images_of_another_shape_are_refused(model: EarVAE, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="images must be"):
        model.encoder(torch.zeros(shape))


@pytest.fixture(scope="module")
def skeletal() -> EarVAE:
    """A model with a skeleton of 5 random components."""
    torch.manual_seed(0)
    model = EarVAE(latent_dim=8, image_size=64, encoder="resnet18", skeleton_dim=5)
    rows = torch.linalg.qr(torch.randn(3 * 64 * 64, 5))[0].T
    model.skeleton.set_basis(SkeletonBasis(torch.full((3 * 64 * 64,), 0.1), rows, torch.linspace(9, 5, 5), 0.01))
    return model


def test_a_code_starts_with_the_scores_of_the_skeleton(skeletal: EarVAE) -> None:
    images = torch.rand(2, 3, 64, 64) - 0.5
    posterior = skeletal.eval().posterior(images)
    assert posterior.mu.shape == posterior.logvar.shape == (2, skeletal.code_dim) == (2, 13)
    assert torch.equal(posterior.mu[:, :5], skeletal.skeleton.scores(images))
    learned = skeletal.encoder(images)
    assert torch.equal(posterior.mu[:, 5:], learned.mu)
    assert torch.equal(posterior.logvar[:, 5:], learned.logvar)
    assert skeletal.sample(2).shape == (2, 3, 64, 64)


def test_the_skeleton_alone_decides_what_its_components_show(skeletal: EarVAE) -> None:
    z = torch.randn(2, 13)
    images = skeletal.train().decode(z)  # not clamped
    torch.testing.assert_close(skeletal.skeleton.scores(images), z[:, :5], rtol=1e-3, atol=1e-4)
    other = torch.cat([z[:, :5], torch.randn(2, 8)], 1)
    rest = skeletal.decode(other) - images
    assert rest.abs().max() > 1e-3
    torch.testing.assert_close(skeletal.skeleton.scores(images + rest), z[:, :5], rtol=1e-3, atol=1e-4)
    assert skeletal.eval().decode(100 * z).abs().max() <= 1


def test_the_deep_image_comes_from_the_networks_alone(skeletal: EarVAE) -> None:
    images = torch.rand(2, 3, 64, 64) - 0.5
    output = skeletal.eval()(images)
    torch.testing.assert_close(output.deep, skeletal.decoder(skeletal.encoder(images).mu))
    assert [name for name, _ in skeletal.skeleton.named_parameters()] == []
