"""Tests of `earcli/benchmarks/training_step.py`."""

from dataclasses import replace

import pytest

from earcli.benchmarks.training_step import measure_training_step
from earcli.config.teacher import TrainConfig
from earcli.data.cache import load_crops
from earcli.data.manifest import read_manifest
from earcli.errors import DataError


def test_a_bench_wants_a_full_batch(config: TrainConfig) -> None:
    crops = load_crops(read_manifest(config.train_manifest), config.image_size, config.run_dir / ".cache", 2)
    with pytest.raises(DataError, match="24 training pictures do not fill one batch of 25"):
        measure_training_step(replace(config, batch_size=25), crops, None, None, 1, False, lambda *_: None)
