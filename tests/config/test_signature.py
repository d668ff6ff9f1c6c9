"""Tests of `earcli/config/signature.py`."""

import inspect
from typing import Any

from earcli.config.detector import FinetuneConfig
from earcli.config.fields import Knobs
from earcli.config.signature import FROM_CHECKPOINT, knobs_of, with_knobs
from earcli.config.teacher import TrainConfig


def parameters_of(*kinds: type[Knobs], resumable_only: bool = False) -> dict[str, inspect.Parameter]:
    @with_knobs(*kinds, resumable_only=resumable_only)
    def task(path: str, *, preset: str = "full", **knobs: Any) -> dict[str, Any]:
        return {"path": path, "preset": preset, **knobs}

    assert task("x", lr=0.5) == {"path": "x", "preset": "full", "lr": 0.5}
    return dict(inspect.signature(task).parameters)


def test_a_task_shows_its_own_parameters_and_then_every_knob() -> None:
    parameters = parameters_of(TrainConfig)
    assert list(parameters)[:2] == ["path", "preset"]
    assert set(parameters) == {"path", "preset", *TrainConfig().to_dict()}
    assert "knobs" not in parameters
    size = parameters["limit_train"]
    assert (size.kind, size.default, size.annotation) == (inspect.Parameter.KEYWORD_ONLY, None, int | None)


def test_a_resumed_run_shows_the_knobs_that_may_change_as_in_the_checkpoint() -> None:
    parameters = parameters_of(TrainConfig, resumable_only=True)
    assert {"epochs", "run_dir", "num_workers", "precision"} <= set(parameters)
    assert not {"lr", "latent_dim", "batch_size", "seed"} & set(parameters)
    assert parameters["epochs"].default is FROM_CHECKPOINT
    assert str(parameters["epochs"]) == "epochs: int = <as in the checkpoint>"


def test_a_knob_of_several_kinds_is_described_by_the_first() -> None:
    teacher, detector = knobs_of(TrainConfig, FinetuneConfig), knobs_of(FinetuneConfig, TrainConfig)
    assert set(teacher) == set(detector) == {*TrainConfig().to_dict(), *FinetuneConfig().to_dict()}
    assert (teacher["epochs"].field.default, detector["epochs"].field.default) == (60, 40)
    assert (teacher["image_size"].type, detector["image_size"].type) == (int, int | None)
    assert (teacher["image_size"].group, detector["image_size"].group) == ("Model", "Detector")
