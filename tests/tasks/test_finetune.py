"""Tests of `earcli/tasks/finetune.py`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import Recorder

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.errors import ConfigError, RunError
from earcli.tasks.detectors import build_detector
from earcli.tasks.finetune import finetune


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"epoch": 3}, "Unknown knob 'epoch'; did you mean epochs"),
        ({"precision": "16-mixed"}, "`precision` 16-mixed needs CUDA"),
        ({"batch_size": "auto"}, "`batch_size` auto needs CUDA"),
        ({"strategy": "bogus"}, "`strategy` must be auto or ddp, got bogus"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_before_labels_are_read(
    tmp_path: Path, knobs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        finetune(train_manifest=tmp_path / "nowhere.json", run_dir=tmp_path / "runs", **knobs)


def test_a_run_folder_that_is_a_file_is_refused_before_labels_are_read(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(RunError, match="runs"):
        finetune(train_manifest=tmp_path / "nowhere.json", run_dir=tmp_path / "runs")


def test_a_frozen_teacher_stays_as_it_was_and_the_heads_learn(ears: Path, teacher: Path, tmp_path: Path) -> None:
    reporter = Recorder()
    result = finetune(
        config={"lr": 0.01, "augment": "none"},
        reporter=reporter,
        checkpoint=str(teacher),
        train_manifest=ears / "val_landmarks.coco.json",
        val_manifest=ears / "val_landmarks.coco.json",
        freeze_encoder=True,
        labels=4,
        epochs=1,
        epoch_steps=1,
        batch_size=4,
        precision="32",
        run_dir=tmp_path / "runs",
    )
    assert result.run == tmp_path / "runs" / "ear_detector" / "version_0"
    assert reporter.notes[:2] == ["4 labeled training ears, 6 validation ears; 17 landmarks", f"teacher {teacher}"]
    (record,) = reporter.records
    assert result.metrics.items() <= record.items()
    assert 0 < result.metrics["val/nme"] < 1
    assert (result.config.lr, result.config.checkpoint, result.notes) == (0.01, str(teacher), ())
    trained = Checkpoint.open(result.best, "detector").detector().state_dict()
    first, _ = build_detector(result.config, result.config.point_names)
    changed = {name for name, value in first.named_parameters() if not torch.equal(value, trained[name])}
    assert changed
    assert changed <= {name for name, _ in first.named_parameters() if not name.startswith(("encoder.", "decoder."))}
