"""The self-test passes where all is well, and fails where something is not."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from earcli.benchmarks import selftest
from earcli.benchmarks.report import Check
from earcli.config.teacher import TrainConfig
from earcli.losses.perceptual import PerceptualLoss, random_vgg
from earcli.models.vae import EarVAE
from earcli.training.teacher import TeacherModule


def failed(checks: Iterator[Check]) -> list[str]:
    return [check.name for check in checks if check.passed is False]


@pytest.fixture
def module(config: TrainConfig) -> TeacherModule:
    torch.manual_seed(0)
    return TeacherModule(config, 1)


def test_every_term_has_the_value_that_its_formula_gives() -> None:
    checks = list(selftest.check_objective(PerceptualLoss(random_vgg(torch.Generator().manual_seed(0)))))
    assert [c.name for c in checks] == ["l1", "perceptual", "ssim_loss", "edge", "contrastive", "center", "kl"]
    assert [c.name for c in checks if not c.passed] == []


def test_a_wrong_term_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earcli.losses.pixel.edge", lambda difference: difference.abs().mean())
    assert failed(selftest.check_objective(PerceptualLoss(random_vgg(torch.Generator())))) == ["edge"]


def test_a_sound_training_step_passes(config: TrainConfig, module: TeacherModule) -> None:
    assert failed(selftest.check_training(config, module, selftest.random_pixels(4, config.image_size))) == []


def test_weights_that_no_gradient_reaches_are_named(config: TrainConfig, module: TeacherModule) -> None:
    module.model.forgotten = nn.Parameter(torch.zeros(3))
    checks = list(selftest.check_training(config, module, selftest.random_pixels(4, config.image_size)))
    (bad,) = [check for check in checks if check.passed is False]
    assert bad.name == "gradients reach"
    assert "forgotten" in bad.measured


def test_another_architecture_is_not_taken_for_the_default_one(config: TrainConfig) -> None:
    model = EarVAE(config.latent_dim, config.image_size, config.encoder)
    pixels = selftest.random_pixels(2, config.image_size)
    assert failed(selftest.check_encoder(config, model, pixels)) == ["feature pyramid"]
    assert failed(selftest.check_vae(model, pixels)) == ["parameters"]
    nn.init.constant_(model.encoder.mu_head.bias, torch.nan)
    assert "values" in failed(selftest.check_encoder(config, model, pixels))
