"""Tests of `earcli/config/teacher.py`."""

import pytest

from earcli.config.teacher import PRESETS, TrainConfig


def test_the_defaults_are_the_full_preset() -> None:
    config = TrainConfig.resolve("full", {}, {})
    assert config == TrainConfig()
    assert (config.image_size, config.latent_dim, config.resnet_version) == (128, 1024, "resnet50")
    assert (config.kl_weight, config.kl_anneal_threshold_psnr, config.kl_anneal_epochs) == (0.01, 24.0, 10)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_small_ones_download_nothing(preset: str) -> None:
    config = TrainConfig.resolve(preset, {}, {})
    if preset != "full":
        assert (config.weights, config.perceptual_weights) == ("none", "none")
