"""Tests of `earcli/training/teacher.py`."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from earcli.config.teacher import TrainConfig
from earcli.data.augmentation import STRENGTHS, AugmentationStrength
from earcli.data.batches import Batch, as_images
from earcli.data.cache import Crops
from earcli.data.manifest import Manifest
from earcli.data.pixels import MirroredPixels
from earcli.models.vae import VAEOutput
from earcli.training.teacher import TeacherModule

CONFIG = TrainConfig.resolve("tiny", {}, {"latent_dim": 4, "precision": "32", "augment": "light"})


def module(config: TrainConfig = CONFIG, val: Crops | None = None) -> TeacherModule:
    torch.manual_seed(0)
    return TeacherModule(config, 2, val=val)


def batch(count: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, 64, 64), generator=generator, dtype=torch.uint8)
    return {"pixels": pixels, "subject": torch.full((count,), -1)}


def test_a_training_step_depends_on_the_seed_and_the_number_of_the_batch_alone() -> None:
    losses = []
    for run, (seed, number) in enumerate([(0, 0), (0, 0), (0, 1), (1, 0)]):
        teacher = module(replace(CONFIG, seed=seed)).train()
        torch.manual_seed(run)  # which has no influence
        losses.append(teacher.training_step(batch(3), number).item())
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def test_validation_figures_are_means_over_pictures_not_over_batches() -> None:
    teacher = module().eval()
    batches = [batch(3, 0), batch(1, 1)]
    each = []
    with torch.no_grad():
        for number, samples in enumerate(batches):
            teacher.validation_step(samples, number)
            images = as_images(samples["pixels"])
            difference = (teacher.model(images).reconstruction - images).double().numpy() / 2
            each += (difference**2).mean((1, 2, 3)).tolist()
    count = teacher.sums["count"].item()
    assert count == 4
    assert teacher.sums["mse"].item() / count == pytest.approx(np.mean(each), rel=1e-5)
    assert teacher.sums["psnr"].item() / count == pytest.approx(-10 * np.log10(each).mean(), rel=1e-5)


def test_an_epoch_ends_with_pooled_psnr_active_units_and_the_start_of_the_ramp() -> None:
    teacher = module()
    mu = torch.tensor([[1.0, 0.08, 3.0, 0.0], [-1.0, -0.08, 3.0, 0.1]])
    teacher.sums = {"count": torch.tensor(2.0), "mu": mu.sum(0), "mu_squared": mu.square().sum(0)}
    teacher.record = {"val/psnr": 15.9, "val/mse": 0.01}
    teacher.finish_record()
    # unbiased variances of 2, 0.0128, 0 and 0.005; a unit is active above 0.01
    assert teacher.record == {
        "val/psnr": 15.9,
        "val/psnr_pooled": pytest.approx(20),
        "val/active_units": 2,
        "kl_weight": 0,
    }
    assert teacher.anneal_start is None
    teacher.record = {"val/psnr": 26.0, "val/psnr_deep": 15.9, "val/mse": 0.01}
    teacher.finish_record()
    assert teacher.anneal_start is None  # the skeleton is no achievement of the networks
    teacher.record = {"val/psnr": 26.0, "val/psnr_deep": 16.0, "val/mse": 0.01}
    teacher.finish_record()
    assert teacher.anneal_start == 0


def test_a_collapse_is_reported_in_its_second_epoch_and_once_more_after_a_recovery() -> None:
    teacher = module()
    reported = []
    for active in (0, 0, 0, 4, 0, 0):
        teacher.record = {"val/active_units": active, "kl_weight": 0.01}
        reported.append(len(teacher.epoch_warnings()))
    assert reported == [0, 1, 0, 0, 0, 1]


def test_the_samples_are_ears_over_their_reconstructions() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    teacher = module(val=Crops(pixels, Manifest(["a", "b", "c"], np.full((3, 4), np.nan)), [])).eval()
    with torch.no_grad():
        grid = teacher.sample_grid()
        decoded = teacher.model(as_images(torch.from_numpy(pixels).permute(0, 3, 1, 2))).reconstruction
    cells = grid.reshape(2, 68, 3, 68, 3).swapaxes(1, 2)[:, :, 2:-2, 2:-2]  # a white margin of 2 pixels each
    np.testing.assert_array_equal(cells[0], pixels)
    expected = ((decoded.permute(0, 2, 3, 1).double().numpy() + 1) * 127.5).round()
    assert np.abs(cells[1] - expected).max() <= 1


@pytest.mark.parametrize(("side", "flipped"), [("estimate", False), ("mixed", True)])
def test_only_mixed_sides_are_flipped_at_random(
    monkeypatch: pytest.MonkeyPatch, side: Literal["estimate", "mixed"], flipped: bool
) -> None:
    still = AugmentationStrength(rotate=0, zoom=0, shift=0, brightness=0, contrast=0, color=0)
    monkeypatch.setitem(STRENGTHS, "light", still)
    teacher, seen = module(replace(CONFIG, side=side)).train(), []
    encode = teacher.model.autoencode

    def record(images: torch.Tensor, generator: torch.Generator | None = None) -> VAEOutput:
        seen.append(images)
        return encode(images, generator)

    monkeypatch.setattr(teacher.model, "autoencode", record)
    samples = batch(8)
    teacher.training_step(samples, 0)
    plain = as_images(samples["pixels"])
    moved = (seen[0] - plain).abs().amax((1, 2, 3)) > 1e-4
    assert moved.any() == flipped
    torch.testing.assert_close(seen[0], torch.where(moved[:, None, None, None], plain.flip(3), plain))


def test_sample_reconstructions_show_ears_on_the_side_that_they_have() -> None:
    plain = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    manifest = Manifest(["a.png", "b.png", "c.png"], np.full((3, 4), np.nan))
    mirrored = np.array([True, False, True])
    grid = module(val=Crops(MirroredPixels(plain, mirrored), manifest, [])).eval().sample_grid()
    unmirrored = module(val=Crops(plain, manifest, [])).eval().sample_grid()
    above = slice(0, len(grid) // 2 - 1)
    assert np.array_equal(grid[above], unmirrored[above])
