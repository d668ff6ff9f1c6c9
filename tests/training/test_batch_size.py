"""Tests of `earcli/training/batch_size.py`."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from fitting import Recorder, assert_same, fit, weights
from torch import Tensor

from earcli.config.teacher import AUTO, TrainConfig
from earcli.errors import TrainingError
from earcli.training.teacher import TeacherModule


@pytest.mark.parametrize(
    ("size", "remedy"),
    [(4, "`batch_size` 2 with `accumulate` 2"), (1, "a smaller `image_size` or `encoder`")],
)
def test_running_out_of_memory_names_what_to_try(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, size: int, remedy: str
) -> None:
    monkeypatch.setattr(TeacherModule, "training_step", memory_for(0))
    with pytest.raises(TrainingError, match=f"Memory ran out with `batch_size` {size}. Try {remedy}"):
        fit(replace(config, batch_size=size))


def memory_for(most: int) -> Any:
    """A training step for which a GPU has memory for `most` pictures."""
    step = TeacherModule.training_step

    def training_step(self: TeacherModule, batch: Any, batch_idx: int) -> Tensor:
        if len(batch["pixels"]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, batch, batch_idx)

    return training_step


@pytest.mark.parametrize(
    ("capacity", "expected"),
    [
        pytest.param(6, 5, id="what fits, less 5%", marks=pytest.mark.slow),
        pytest.param(100, 8, id="no more than there are", marks=pytest.mark.slow),
    ],
)
def test_the_batch_size_is_found(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, capacity: int, expected: int
) -> None:
    whole, _ = fit(replace(config, batch_size=expected, epochs=1))
    monkeypatch.setattr("earcli.training.batch_size.check_batch_size", lambda config: None)  # this is no GPU
    monkeypatch.setattr(TeacherModule, "training_step", memory_for(capacity))
    validated: list[int] = []
    validate = TeacherModule.validation_step
    monkeypatch.setattr(
        TeacherModule, "validation_step", lambda self, b, i: (validated.append(len(b["pixels"])), validate(self, b, i))
    )
    recorder = Recorder()
    run, _ = fit(replace(config, batch_size=AUTO, epochs=1), recorder)
    assert recorder.notes[0] == f"batch size {expected}, the largest that fits into memory"
    assert f"batch_size: {expected}\n" in (run.path / "hparams.yaml").read_text()
    assert_same(weights(run), weights(whole))  # the search leaves nothing behind
    assert len(validated) > 1  # a validation needs memory too
