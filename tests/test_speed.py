"""What makes a step fast computes what the plain way computes."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from earcli.benchmarks.step_timer import precision_context
from earcli.benchmarks.straightforward import NaiveStep
from earcli.benchmarks.training_step import measure_training_step
from earcli.config.teacher import TrainConfig
from earcli.data.augmentation import affine_grid, reflect_grid
from earcli.data.batches import as_images
from earcli.data.cache import load_crops
from earcli.data.manifest import read_manifest
from earcli.errors import DataError
from earcli.losses.perceptual import random_vgg
from earcli.models.convolution import Conv3x3, conv3x3_as_product
from earcli.models.encoder import EarEncoder
from earcli.models.vae import EarVAE
from earcli.tasks.bench_train import make_tables
from earcli.training.optimizer import AdamW
from earcli.training.teacher import TRAIN_STREAM, TeacherModule


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(3, 5, 4, 4), (2, 5, 2, 2), (1, 5, 3, 5), (2, 5, 1, 1)])
def test_the_product_is_the_convolution(shape: tuple[int, ...], stride: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.double, requires_grad=True)
    weight = torch.randn(4, 5, 3, 3, dtype=torch.double, requires_grad=True)
    ours, theirs = conv3x3_as_product(x, weight, stride), F.conv2d(x, weight, stride=stride, padding=1)
    torch.testing.assert_close(ours, theirs)
    cotangent = torch.randn_like(theirs)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (x, weight), cotangent), torch.autograd.grad(theirs, (x, weight), cotangent)
    )


def test_the_product_is_taken_where_maps_are_small_and_the_model_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def spy(x: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
        taken.append(x.shape[-1])
        return conv3x3_as_product(x, weight, stride)

    monkeypatch.setattr("earcli.models.convolution.conv3x3_as_product", spy)
    encoder = EarEncoder(8, 64, "resnet18")
    images = torch.rand(2, 3, 64, 64)
    encoder.eval()(images)
    assert taken == []  # an export sees ordinary convolutions
    encoder.train()(images)
    assert set(taken) == {8, 4, 2}


def test_replacing_keeps_weights_and_values() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 2, 1))
    fast = copy.deepcopy(plain)
    Conv3x3.replace_in(fast)
    assert [type(m) for m in fast] == [Conv3x3, nn.Conv2d, nn.Conv2d]
    assert fast.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(fast.train()(x), plain(x))
    torch.testing.assert_close(fast.eval()(x), plain(x))


@pytest.mark.parametrize("fused", [False, True])
def test_adamw_is_adamw_in_any_layout(fused: bool) -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 4, 5)).to(memory_format=torch.channels_last)
    theirs = copy.deepcopy(ours).to(memory_format=torch.contiguous_format)
    steps = AdamW(ours.parameters(), lr=0.01, fused=fused), torch.optim.AdamW(theirs.parameters(), lr=0.01)
    for _ in range(3):
        x = torch.randn(2, 3, 4, 4)
        for model, optimizer in zip((ours, theirs), steps, strict=True):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    again = AdamW(ours.parameters(), lr=0.01, fused=fused)
    again.load_state_dict(steps[0].state_dict())  # moments keep the shape of their weights
    assert again.state[ours[0].weight]["exp_avg"].shape == ours[0].weight.shape


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


def test_a_bench_measures_every_phase_and_counts_every_convolution(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earcli.benchmarks.loader.LOADER_SECONDS", 0.2)
    config = replace(config, precision="32", batch_size=2)
    crops = load_crops(read_manifest(config.train_manifest), config.image_size, config.run_dir / ".cache", 2)
    result = measure_training_step(config, crops, None, None, 1, True, lambda *_: None)
    names = ["data", "augmentation", "encoder", "decoder", "objective", "metrics", "backward", "clipping"]
    assert list(result["phases_ms"]) == [*names, "optimizer", "average"]
    assert all(value > 0 for name, value in result["phases_ms"].items() if name != "average")
    # forward, and twice that backward; the first convolution needs no gradient of its input
    model = EarVAE(config.latent_dim, config.image_size, config.resnet_version)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(2, 3, config.image_size, config.image_size))
    assert result["gflop_per_step"] == pytest.approx(3 * counter.get_total_flops() / 1e9, rel=0.05)
    assert set(result["terms_ms"]) == {"l1", "ssim", "edge", "contrastive", "center"}
    assert result["memory_mib"]["parameters"] * 2**20 == 4 * sum(p.numel() for p in model.parameters())
    assert result["naive"]["step_ms"] > 0
    assert result["loader"].keys() == {"images_per_second", "naive_images_per_second"}
    tables = make_tables(result | {"preset": "tiny", "precision": "32", "image_size": 64, "vgg16": None})
    ratio = result["images_per_second"] / result["naive"]["images_per_second"]
    assert any(f"{ratio:.2f}" in row for table in tables for row in table.rows)


def test_the_grid_of_the_augmentation_is_torchs() -> None:
    theta = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(affine_grid(theta, 64), F.affine_grid(theta, [3, 3, 64, 64], align_corners=False))


def test_mirroring_the_grid_is_what_torch_does_at_borders() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 64, 64, generator=random)
    grid = torch.rand(3, 64, 64, 2, generator=random) * 5 - 2.5
    ours = F.grid_sample(images, reflect_grid(grid), padding_mode="border", align_corners=False)
    torch.testing.assert_close(ours, F.grid_sample(images, grid, padding_mode="reflection", align_corners=False))


def test_a_bench_wants_a_full_batch(config: TrainConfig) -> None:
    crops = load_crops(read_manifest(config.train_manifest), config.image_size, config.run_dir / ".cache", 2)
    with pytest.raises(DataError, match="24 training pictures do not fill one batch of 25"):
        measure_training_step(replace(config, batch_size=25), crops, None, None, 1, False, lambda *_: None)
