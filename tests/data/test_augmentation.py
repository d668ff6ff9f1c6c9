"""Tests of `earcli/data/augmentation.py`."""

import pytest
import torch
import torch.nn.functional as F

from earcli.data.augmentation import STRENGTHS, affine_grid, augment, reflect_grid


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_augmentation_depends_on_the_generator_alone_and_stays_in_range(strength: str) -> None:
    images = torch.rand(8, 3, 64, 64, generator=generator()) * 2 - 1
    first, again, other = (augment(images, STRENGTHS[strength], generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == images.shape
    assert first.abs().max() <= 1


def test_none_changes_nothing() -> None:
    images = torch.rand(2, 3, 64, 64)
    assert augment(images, STRENGTHS["none"], generator()) is images


def test_pictures_of_one_batch_are_varied_apart_and_about_half_are_flipped() -> None:
    ramp = torch.linspace(-0.8, 0.8, 64).expand(64, 3, 64, 64)
    result = augment(ramp, STRENGTHS["light"], generator())
    flipped = result[:, 0, 32, 0] > result[:, 0, 32, -1]
    assert 16 < flipped.sum() < 48
    assert len({round(float(v), 4) for v in result.mean((1, 2, 3))}) > 60


def test_light_augmentation_keeps_the_ear_where_it_is() -> None:
    images = torch.full((32, 3, 64, 64), -0.5)
    images[:, :, 24:40, 24:40] = 0.5
    result = augment(images, STRENGTHS["light"], generator())
    assert (result[:, :, 29:35, 29:35].mean((1, 2, 3)) > result[:, :, :8, :8].mean((1, 2, 3)) + 0.5).all()


def test_the_grid_of_the_augmentation_is_torchs() -> None:
    theta = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(affine_grid(theta, 64), F.affine_grid(theta, [3, 3, 64, 64], align_corners=False))


def test_mirroring_the_grid_is_what_torch_does_at_borders() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 64, 64, generator=random)
    grid = torch.rand(3, 64, 64, 2, generator=random) * 5 - 2.5
    ours = F.grid_sample(images, reflect_grid(grid), padding_mode="border", align_corners=False)
    torch.testing.assert_close(ours, F.grid_sample(images, grid, padding_mode="reflection", align_corners=False))
