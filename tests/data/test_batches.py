"""Tests of `earcli/data/batches.py`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from crops import fill, manifest

from earcli.data.batches import EpochBatches, crop_dataset
from earcli.data.cache import load_crops


def test_an_epoch_has_every_sample_once_in_an_order_of_its_own() -> None:
    first, again, second = (np.concatenate(list(EpochBatches(20, 4, seed=3, epoch=e))) for e in (0, 0, 1))
    assert sorted(first) == list(range(20))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != second.tolist()


def test_training_drops_a_partial_batch_and_validation_keeps_it() -> None:
    assert [len(b) for b in EpochBatches(10, 4, seed=0)] == [4, 4]
    assert np.concatenate(list(EpochBatches(10, 4))).tolist() == list(range(10))


def test_a_start_in_the_middle_gives_the_rest_of_the_same_order() -> None:
    whole, rest = list(EpochBatches(20, 4, seed=0, epoch=5)), list(EpochBatches(20, 4, seed=0, epoch=5, start=2))
    np.testing.assert_array_equal(np.stack(whole[2:]), np.stack(rest))


@pytest.mark.parametrize("seed", [None, 0])
def test_processes_share_each_batch_without_overlap(seed: int | None) -> None:
    parts = [np.concatenate(list(EpochBatches(24, 4, seed=seed, epoch=1, rank=r, world_size=3))) for r in range(3)]
    assert sorted(np.concatenate(parts)) == list(range(24))
    whole = list(EpochBatches(24, 12, seed=seed, epoch=1))
    for number in range(2):
        shared = np.concatenate([part[number * 4 : number * 4 + 4] for part in parts])
        assert sorted(shared) == sorted(whole[number])


def test_a_batch_is_pixels_and_subjects_of_its_samples(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    crops = load_crops(manifest(tmp_path), 32, tmp_path / "cache", 2)
    batch = crop_dataset(crops)[np.array([3, 1])]
    assert batch["pixels"].shape == (2, 3, 32, 32)
    np.testing.assert_array_equal(batch["pixels"][0].permute(1, 2, 0), crops.pixels[3])
    assert batch["subject"].tolist() == [-1, -1]


SPAWNING = """
import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from earcli.data.batches import EpochBatches, crop_dataset
from earcli.data.cache import load_crops
from earcli.data.manifest import read_manifest

if __name__ == "__main__":
    dataset = crop_dataset(load_crops(read_manifest(Path(sys.argv[1])), 64, Path(sys.argv[2]), 2))
    order = EpochBatches(24, 5, seed=0)
    here = list(DataLoader(dataset, sampler=order, batch_size=None))
    spawned = list(
        DataLoader(dataset, sampler=order, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    )
    assert len(here) == len(spawned) == 4
    for one, other in zip(here, spawned):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
"""


@pytest.mark.slow
def test_spawned_workers_give_the_same_batches(ears: Path, tmp_path: Path) -> None:
    """`ear` reads in its own process; who uses its data sets from a loader with workers gets the same."""
    (tmp_path / "script.py").write_text(SPAWNING, encoding="utf-8")
    command = [sys.executable, tmp_path / "script.py", ears / "train_teacher.npy", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
