"""Tests of `earcli/benchmarks/step_timer.py`."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch

from earcli.benchmarks import step_timer
from earcli.benchmarks.step_timer import StepTimer, count_bytes, precision_context
from earcli.config.teacher import TrainConfig
from earcli.data.cache import Crops
from earcli.data.manifest import Manifest
from earcli.training.teacher import TeacherModule

CPU = torch.device("cpu")
CONFIG = TrainConfig.resolve(
    "tiny", {}, {"latent_dim": 4, "batch_size": 2, "precision": "32", "ema_decay": 0.5, "contrastive_weight": 0}
)


def timer(config: TrainConfig = CONFIG) -> StepTimer:
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    crops = Crops(pixels, Manifest([f"{n}.png" for n in range(4)], np.full((4, 4), np.nan)), [])
    return StepTimer(config, TeacherModule(config, 1).train(), crops, CPU)


def test_every_phase_of_a_step_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(step_timer, "read_clock", lambda device: float(next(ticks)))  # a second per phase
    monkeypatch.setattr(step_timer, "WARM_UP", 1)
    calls: list[tuple[str, int, int]] = []
    measured = timer()
    result = measured.run(2, lambda *call: calls.append(call))
    phases = ["data", "augmentation", "encoder", "decoder", "objective", "metrics", "backward", "clipping", "optimizer"]
    assert result == {
        "first_step_s": 10,
        "phases_ms": dict.fromkeys([*phases, "average"], 1000),
        "step_ms": 10_000,
        "images_per_second": 0.2,
        "data_wait": 0.1,
    }
    assert {name: len(times) for name, times in measured.laps.items()} == dict.fromkeys(result["phases_ms"], 2)
    assert calls == [("measuring steps", 1, 2), ("measuring steps", 2, 2)]


def test_the_optimizer_holds_two_moments_of_every_weight_after_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_timer, "WARM_UP", 0)
    measured = timer(replace(CONFIG, freeze_layers=4))
    sizes = {p: 4 * p.numel() for p in measured.module.model.parameters()}
    trained = {p: size for p, size in sizes.items() if p.requires_grad}
    before = measured.tensor_sizes()
    total, gradients = sum(sizes.values()), sum(trained.values())
    skeleton = count_bytes(measured.module.model.skeleton.buffers())
    assert before == {
        "parameters": total,
        "gradients": gradients,
        "optimizer": 0,
        "average": total,
        "skeleton": skeleton,
        "VGG16": 0,
    }
    measured.run(1, lambda *_: None)
    counters = 4 * len(trained)  # a step number each
    assert measured.tensor_sizes() == {**before, "optimizer": 2 * gradients + counters}


def test_the_backward_pass_is_twice_the_work_of_the_forward_pass_and_keeps_no_weights() -> None:
    measured = timer(replace(CONFIG, ssim_weight=0.0, edge_weight=0.0, skeleton_dim=0))
    work, kept = measured.count_work()
    model = measured.module.model
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter, torch.no_grad():
        model.autoencode(torch.zeros(2, 3, 64, 64))
    first_layer = 2 * 2 * 64 * 3 * 7 * 7 * 32 * 32  # needs no gradient of its input
    assert work == 3 * counter.get_total_flops() - first_layer
    images = 2 * 3 * 64 * 64 * 4
    assert 10 * images < kept < count_bytes(model.parameters())
    assert all(p.grad is None for p in model.parameters())


def test_terms_are_timed_one_by_one_without_touching_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_timer, "WARM_UP", 0)
    monkeypatch.setattr(step_timer, "RUNS", 3)
    monkeypatch.setattr(step_timer, "time_calls", lambda call, *_, warm_up, runs: [call() or t for t in (1, 5, 3)])
    measured = timer()
    result = measured.time_terms()
    assert result == dict.fromkeys(["l1", "ssim", "edge", "contrastive", "center"], 3000)
    assert all(p.grad is None for p in measured.module.model.parameters())


def test_mixed_precision_computes_in_16_bits_and_bytes_are_counted() -> None:
    a = torch.ones(2, 2)
    for precision, dtype in (("32", torch.float32), ("bf16-mixed", torch.bfloat16)):
        with precision_context(replace(CONFIG, precision=precision), CPU):  # type: ignore[arg-type]
            assert (a @ a).dtype == dtype
    assert count_bytes([torch.zeros(3, 5), torch.zeros(2, dtype=torch.float64), torch.zeros(7, dtype=torch.int8)]) == 83
