"""Tests of `earcli/training/datamodule.py`."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer

from earcli.config.teacher import TrainConfig
from earcli.data.batches import EpochBatches, PixelDataset
from earcli.data.manifest import Manifest
from earcli.training.datamodule import PixelDataModule
from earcli.training.trainer import make_trainer, quiet_lightning


def dataset(count: int, root: Path = Path("set")) -> PixelDataset:
    pixels = np.zeros((count, 2, 2, 3), np.uint8)
    paths = [f"{row}.png" for row in range(count)]
    return PixelDataset(pixels, {"subject": torch.arange(count)}, Manifest(paths, np.zeros((count, 4)), root=root))


def samples(batches: object) -> list[list[int]]:
    return [batch["subject"].tolist() for batch in batches]  # type: ignore[attr-defined]


@pytest.fixture
def trainer() -> Trainer:
    with quiet_lightning():
        return make_trainer(TrainConfig(devices="1", precision="32"), [])


@pytest.fixture
def data(trainer: Trainer) -> PixelDataModule:
    module = PixelDataModule(dataset(10), dataset(5), batch_size=3, seed=4)
    module.trainer = trainer
    return module


def test_an_epoch_is_shuffled_anew_in_full_batches_and_validation_keeps_its_order(
    data: PixelDataModule, trainer: Trainer
) -> None:
    epochs = []
    for number in range(2):
        trainer.fit_loop.epoch_progress.current.processed = number
        epochs.append(samples(data.train_dataloader()))
        order = np.random.default_rng((4, number)).permutation(10)
        assert epochs[-1] == order[:9].reshape(3, 3).tolist()
    assert epochs[0] != epochs[1]
    assert samples(data.val_dataloader()) == [[0, 1, 2], [3, 4]]


def test_a_resumed_epoch_starts_behind_the_batches_that_are_done(data: PixelDataModule, trainer: Trainer) -> None:
    whole = samples(data.train_dataloader())
    trainer.fit_loop.epoch_loop.batch_progress.current.processed = 2
    assert samples(data.train_dataloader()) == whole  # those of the epoch before, unless the loop restarts
    trainer.fit_loop.epoch_progress.current.started = 1
    trainer.fit_loop.restarting = True
    assert samples(data.train_dataloader()) == whole[2:]


def test_an_epoch_may_have_any_length(trainer: Trainer) -> None:
    data = PixelDataModule(dataset(2), dataset(1), batch_size=2, seed=0, length=5)
    data.trainer = trainer
    assert [sorted(batch) for batch in samples(data.train_dataloader())] == [[0, 1]] * 5


def test_a_step_names_the_pictures_of_its_batches_on_all_ranks(tmp_path: Path) -> None:
    data = PixelDataModule(dataset(20, tmp_path), dataset(1), batch_size=2, seed=4, length=5)
    data.trainer = SimpleNamespace(global_rank=1, world_size=2)  # type: ignore[assignment]
    order = np.random.default_rng((4, 3)).permutation(20)
    for batch, rows in ((0, order[:8]), (1, order[:8]), (3, order[8:16]), (4, order[16:])):
        assert data.step_manifest(3, batch, accumulate=2).paths == [str(tmp_path / f"{row}.png") for row in rows]
    ranks = [list(EpochBatches(20, 2, seed=4, epoch=3, rank=rank, world_size=2)) for rank in range(2)]
    assert {*ranks[0][0], *ranks[1][0], *ranks[0][1], *ranks[1][1]} == set(order[:8])


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = PixelDataModule(dataset(1), dataset(1), batch_size=1, seed=0)
    data.trainer = SimpleNamespace(global_rank=0, world_size=1)  # type: ignore[assignment]
    assert data.step_manifest(0, 0, accumulate=1).paths == [str(tmp_path / "set" / "0.png")]
