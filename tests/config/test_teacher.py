"""Tests of `earcli/config/teacher.py`."""

from earcli.config.teacher import TrainConfig


def test_the_defaults_are_the_full_preset() -> None:
    config = TrainConfig.resolve("full", {}, {})
    assert config == TrainConfig()
    assert (config.image_size, config.latent_dim, config.encoder) == (128, 1024, "resnet50")
    assert (config.kl_weight, config.kl_anneal_threshold_psnr, config.kl_anneal_epochs) == (0.01, 24.0, 10)
