"""Tests of `earcli/training/module.py`."""

import torch

from earcli.config.teacher import TrainConfig
from earcli.training.module import accumulator_dtype, lerp_average
from earcli.training.teacher import TeacherModule


def test_sums_have_the_precision_that_a_device_supports(config: TrainConfig) -> None:
    assert [accumulator_dtype(torch.device(name)) for name in ("cpu", "cuda", "mps")] == [
        torch.float64,
        torch.float64,
        torch.float32,
    ]
    module = TeacherModule(config, 1)
    module.add({"loss": torch.tensor(0.1)}, 3)
    assert module.sums["loss"].dtype == torch.float64


def test_the_average_moves_by_its_decay() -> None:
    model, average = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    torch.nn.init.constant_(model.weight, 3.0)
    model.num_batches_tracked.fill_(5)
    lerp_average(average, model, 0.75)
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.num_batches_tracked == 5
