"""Tests of `earcli/tasks/bench_train.py`."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from earcli.benchmarks.training_step import measure_training_step
from earcli.config.teacher import TrainConfig
from earcli.data.cache import load_crops
from earcli.data.manifest import read_manifest
from earcli.models.vae import EarVAE
from earcli.tasks.bench_train import make_tables


@pytest.mark.slow
def test_a_bench_measures_every_phase_and_counts_every_convolution(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earcli.benchmarks.loader.LOADER_SECONDS", 0.2)
    monkeypatch.setattr("earcli.benchmarks.training_step.has_bf16_instructions", lambda: False)
    config = replace(config, precision="32", batch_size=2)
    crops = load_crops(read_manifest(config.train_manifest), config.image_size, config.run_dir / ".cache", 2)
    result = measure_training_step(config, crops, None, None, 1, True, lambda *_: None)
    names = ["data", "augmentation", "encoder", "decoder", "objective", "metrics", "backward", "clipping"]
    assert list(result["phases_ms"]) == [*names, "optimizer", "average"]
    assert all(value > 0 for name, value in result["phases_ms"].items() if name != "average")
    # forward, and twice that backward; the first convolution needs no gradient of its input
    model = EarVAE(config.latent_dim, config.image_size, config.encoder)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(2, 3, config.image_size, config.image_size))
    assert result["gflop_per_step"] == pytest.approx(3 * counter.get_total_flops() / 1e9, rel=0.05)
    assert list(result["peak_gflops"]) == ["matrix product 32", "convolution 32"]
    assert set(result["terms_ms"]) == {"l1", "ssim", "edge", "contrastive", "center"}
    assert result["memory_mib"]["parameters"] * 2**20 == 4 * sum(p.numel() for p in model.parameters())
    assert result["naive"]["step_ms"] > 0
    assert result["loader"].keys() == {"images_per_second", "naive_images_per_second"}
    tables = make_tables(result | {"preset": "tiny", "precision": "32", "image_size": 64, "vgg16": None})
    ratio = result["images_per_second"] / result["naive"]["images_per_second"]
    assert any(f"{ratio:.2f}" in row for table in tables for row in table.rows)
