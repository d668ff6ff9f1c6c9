"""Tests of `earcli/tasks/inputs.py`."""

import os
from pathlib import Path

import numpy as np
import pytest
from fitting import Recorder

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.config.teacher import TrainConfig
from earcli.data.images import read_crop
from earcli.data.manifest import read_manifest
from earcli.tasks.inputs import cache_folder, read_crops


def test_crops_come_through_the_cache_and_what_is_left_out_is_said(ears: Path, tmp_path: Path) -> None:
    manifest = read_manifest(ears / "train_teacher.npy")
    manifest.paths[3] = "images/gone.jpg"
    reporter = Recorder()
    crops = read_crops(manifest, 64, tmp_path, 2, reporter)
    assert len(crops) == 23
    assert reporter.notes == ["skipped images/gone.jpg: no such file"]
    np.testing.assert_array_equal(crops.pixels[3], read_crop(manifest.locate(4), manifest.boxes[4], 64))
    assert list((tmp_path / ".cache").glob("pixels-*"))


def test_the_cache_of_a_run_that_cannot_be_written_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs" / "ear_vae" / "version_0" / "checkpoints" / "last.ckpt"
    checkpoint = Checkpoint(path, "teacher", TrainConfig(), {})
    (tmp_path / "runs").mkdir()
    assert cache_folder(checkpoint, tmp_path / "mine") == tmp_path / "runs"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert cache_folder(checkpoint, tmp_path / "mine") == tmp_path / "mine"
