"""Run folders: versions, atomic files, lookup of checkpoints by name."""

import csv
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from earcli.checkpoints.runs import RunFolder, create_run, find_checkpoint
from earcli.config.teacher import TrainConfig
from earcli.data.cache import Skipped
from earcli.errors import CheckpointError, RunError
from earcli.training.checkpoint_io import keep_best


def test_every_run_gets_a_version_of_its_own(tmp_path: Path) -> None:
    assert create_run(tmp_path, "ear_vae").path == tmp_path / "ear_vae" / "version_0"
    (tmp_path / "ear_vae" / "version_7").mkdir()
    (tmp_path / "ear_vae" / "version_old").mkdir()
    assert create_run(tmp_path, "ear_vae").path.name == "version_8"


def test_runs_that_start_at_once_do_not_share_a_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = {run.path for run in pool.map(lambda _: create_run(tmp_path, "x"), range(32))}
    assert len(paths) == 32


def test_a_run_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written .* Give another `run_dir`"):
        create_run(tmp_path / "file", "x")


def test_metrics_have_every_epoch_once_also_after_a_step_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for epoch, value in ((0, 1.0), (1, 2.0), (2, 3.0), (1, 5.0)):
        run.append_metrics({"epoch": epoch, "loss": value})
    with run.metrics.open() as file:
        assert list(csv.DictReader(file)) == [{"epoch": "0", "loss": "1"}, {"epoch": "1", "loss": "5"}]


def test_hparams_and_skipped_pictures_are_written(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_start(TrainConfig(), [Skipped(0, "a, b.jpg", "empty file")])
    assert "latent_dim: 1024" in (tmp_path / "hparams.yaml").read_text()
    with (tmp_path / "skipped.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"path": "a, b.jpg", "reason": "empty file"}]


def test_a_checkpoint_is_found_by_path_or_as_the_newest_of_its_kind(tmp_path: Path) -> None:
    old, new = create_run(tmp_path, "a"), create_run(tmp_path, "b")
    keep_best(old, {}, "a", 0, 0.5)
    keep_best(old, {}, "a", 1, 0.1)
    old.last.write_bytes(b"x")
    os.utime(old.last, (1, 1))
    new.checkpoints.mkdir()
    assert find_checkpoint("last.ckpt", tmp_path) == old.last  # the newer run has none yet
    new.last.write_bytes(b"x")
    assert find_checkpoint("last.ckpt", tmp_path) == new.last
    assert find_checkpoint("best", tmp_path).name == "a-epoch=001-val_loss=0.1000.ckpt"
    assert find_checkpoint(str(old.last), tmp_path / "elsewhere") == old.last
    assert find_checkpoint(str(old.path), tmp_path).name == "a-epoch=001-val_loss=0.1000.ckpt"
    assert find_checkpoint(str(new.path), tmp_path) == new.last  # a run without a best one yet
    (tmp_path / "c" / "version_0" / "checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"version_0 has no checkpoint"):
        find_checkpoint(str(tmp_path / "c" / "version_0"), tmp_path)


def test_a_checkpoint_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"No run in .* has last.ckpt. Train first"):
        find_checkpoint("last.ckpt", tmp_path)
    with pytest.raises(
        CheckpointError, match=r"typo.ckpt does not exist. Give a file, a run's folder, or last.ckpt or best"
    ):
        find_checkpoint("typo.ckpt", tmp_path)
    with pytest.raises(CheckpointError, match=r" holds no run. Give a file"):
        find_checkpoint(str(tmp_path), tmp_path)
