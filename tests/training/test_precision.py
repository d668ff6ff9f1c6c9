"""Tests of `earcli/training/precision.py`."""

from dataclasses import replace

import pytest
from fitting import Recorder, fit

from earcli.config.teacher import TrainConfig
from earcli.errors import ConfigError
from earcli.training.precision import choose_precision


def test_precision_is_chosen_and_16_mixed_needs_cuda(config: TrainConfig) -> None:
    assert choose_precision(replace(config, precision="auto")).precision in ("32", "bf16-mixed")
    with pytest.raises(ConfigError, match="`precision` 16-mixed needs CUDA"):
        choose_precision(replace(config, precision="16-mixed"))


def test_bf16_learns_what_fp32_learns(config: TrainConfig) -> None:
    results = {}
    for precision in ("32", "bf16-mixed"):
        recorder = Recorder()
        fit(replace(config, epochs=1, precision=precision, run_name=precision), recorder)  # type: ignore[arg-type]
        results[precision] = recorder.records[-1]
    for name in ("train/loss", "train/l1", "train/ssim_loss"):
        assert results["bf16-mixed"][name] == pytest.approx(results["32"][name], rel=2e-2)
