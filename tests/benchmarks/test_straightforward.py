"""Tests of `earcli/benchmarks/straightforward.py`."""

import pytest
import torch

from earcli.benchmarks.step_timer import precision_context
from earcli.benchmarks.straightforward import NaiveStep
from earcli.config.teacher import TrainConfig
from earcli.data.batches import as_images
from earcli.losses.perceptual import random_vgg
from earcli.training.teacher import TRAIN_STREAM, TeacherModule


@pytest.mark.parametrize(("precision", "bound"), [("32", 1e-5), ("bf16-mixed", 2e-2)])
def test_the_fast_step_has_the_loss_of_the_straightforward_one(precision: str, bound: float) -> None:
    knobs = {"weights": "none", "precision": precision, "batch_size": 4, "augment": "none"}
    config = TrainConfig.resolve("tiny", {}, {**knobs, "perceptual_weights": "unused", "kl_anneal_epochs": 0})
    vgg = random_vgg(torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    module = TeacherModule(config, 1, None, vgg).train()
    naive = NaiveStep(module.model, module.objective.weights, vgg, config.kl_weight, config.lr, torch.device("cpu"))
    pixels = torch.randint(0, 256, (4, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pixels = pixels.repeat_interleave(4, 2).repeat_interleave(4, 3)
    with precision_context(config, torch.device("cpu")):
        fast = module.training_step({"pixels": pixels, "subject": torch.full((4,), -1)}, 0)
    plain = naive(as_images(pixels), module.generator(TRAIN_STREAM, 0, 0, 4))
    assert set(module.sums) >= {"l1", "perceptual", "ssim_loss", "edge", "contrastive", "center", "kl"}
    assert fast.item() == pytest.approx(plain, rel=bound)
