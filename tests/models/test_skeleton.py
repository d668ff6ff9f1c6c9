"""Tests of `earcli/models/skeleton.py`."""

import pytest
import torch

from earcli.models.skeleton import Skeleton, SkeletonBasis, shrink, skeleton_side


def basis(components: int, image_size: int) -> SkeletonBasis:
    torch.manual_seed(0)
    pixels = 3 * skeleton_side(image_size) ** 2
    rows = torch.linalg.qr(torch.randn(pixels, components))[0].T
    return SkeletonBasis(torch.rand(pixels) - 0.5, rows, torch.linspace(3, 1, components), 0.01)


def fitted(components: int, image_size: int) -> Skeleton:
    skeleton = Skeleton(components, image_size)
    skeleton.set_basis(basis(components, image_size))
    return skeleton


@pytest.mark.parametrize(("image_size", "side"), [(64, 64), (96, 48), (128, 64), (160, 40), (224, 56), (256, 64)])
def test_the_side_divides_the_image_size(image_size: int, side: int) -> None:
    assert skeleton_side(image_size) == side


def test_scores_are_whitened_and_images_invert_them() -> None:
    skeleton, scores = fitted(4, 64), torch.randn(3, 4)
    images = skeleton.image(scores)
    mean, components, deviations, _ = basis(4, 64)
    torch.testing.assert_close(images.flatten(1), mean + scores * deviations @ components)
    torch.testing.assert_close(skeleton.scores(images), scores, rtol=1e-4, atol=1e-5)


def test_the_complement_is_what_the_components_cannot_express() -> None:
    skeleton, images = fitted(4, 64), torch.rand(2, 3, 64, 64) * 2 - 1
    rest = skeleton.complement(images)
    torch.testing.assert_close(skeleton.image(skeleton.scores(images)) + rest, images, rtol=1e-4, atol=1e-5)
    assert (rest.flatten(1) @ skeleton.components.T).abs().max() < 1e-4
    assert skeleton.complement(skeleton.image(torch.randn(2, 4))).abs().max() < 1e-5


def test_large_images_are_averaged_and_stretched() -> None:
    skeleton = fitted(4, 128)
    images = skeleton.image(torch.randn(2, 4))
    assert images.shape == (2, 3, 128, 128)
    small = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(shrink(small.repeat_interleave(2, 2).repeat_interleave(2, 3), 64), small)


def test_components_that_a_basis_lacks_have_scores_of_zero_and_no_effect() -> None:
    skeleton = Skeleton(6, 64)
    skeleton.set_basis(basis(4, 64))
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(skeleton.scores(images)[:, :4], fitted(4, 64).scores(images))
    assert not skeleton.scores(images)[:, 4:].any()
    assert torch.equal(skeleton.image(torch.eye(6))[4], skeleton.image(torch.zeros(1, 6))[0])


def test_the_posterior_variance_is_that_of_probabilistic_pca() -> None:
    expected = torch.log(0.01 / torch.linspace(3, 1, 4).square())
    torch.testing.assert_close(fitted(4, 64).logvar, expected)


def test_autocast_does_not_round_the_scores() -> None:
    skeleton, images = fitted(4, 64), torch.rand(2, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = skeleton.scores(images)
    assert torch.equal(rounded, skeleton.scores(images))
