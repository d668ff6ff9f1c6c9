"""Tests of `earcli/tasks/resume.py`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import Recorder, fit, table

from earcli.checkpoints.runs import RunFolder
from earcli.config.teacher import TrainConfig
from earcli.errors import CheckpointError, ConfigError
from earcli.tasks.resume import resume


@pytest.fixture
def last(teacher: Path, tmp_path: Path) -> Path:
    """A `last.ckpt` with the parts of a complete checkpoint, though they are empty."""
    content = torch.load(teacher, weights_only=True) | {"optimizer_states": [], "ear": {}}
    path = RunFolder(tmp_path / "runs" / "ear_vae" / "version_0").last
    path.parent.mkdir(parents=True)
    torch.save(content, path)
    return path


def test_weights_alone_cannot_be_resumed_from(teacher: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds weights only; a run cannot resume from it\. Use its last\.ckpt"):
        resume(teacher)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"latent_dim": 9}, r"^`latent_dim` cannot change when a run is resumed\. Start a new run\.$"),
        ({"epochs": 9, "seed": 1, "lr": 0.1}, "^`seed`, `lr` cannot change when a run is resumed"),
        ({"landmarks": 5}, "^`landmarks` cannot change when a run is resumed"),
        ({"latent_dim": 9, "epoch": 9}, "^Unknown knob 'epoch'; did you mean epochs"),
        ({"epochs": "many"}, "`epochs`"),
    ],
)
def test_a_knob_that_must_not_change_is_refused(last: Path, knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resume(last, **knobs)


def test_a_checkpoint_with_empty_parts_is_damaged(last: Path) -> None:
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged: no run can resume from it"):
        resume(last.parents[1])


def test_a_run_that_was_moved_goes_on_in_its_folder(config: TrainConfig, tmp_path: Path) -> None:
    run, _ = fit(replace(config, epochs=1))
    before = table(run)
    moved = RunFolder((tmp_path / "runs").rename(tmp_path / "moved") / "renamed" / "version_0")
    (tmp_path / "moved" / "ear_vae").rename(moved.path.parent)
    with pytest.raises(ConfigError, match=r"has all of its 1 epochs\. Give `epochs` more than 1 to continue"):
        resume(moved.path)
    reporter = Recorder()
    result = resume(moved.path, epochs=2, reporter=reporter)
    assert (result.run, result.last, result.config.epochs) == (moved.path, moved.last, 2)
    assert [record["epoch"] for record in reporter.records] == [1]
    rows = table(moved)
    assert rows[:1] == before
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert not (tmp_path / "runs").exists()
