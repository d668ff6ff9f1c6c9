"""Tests of `earcli/benchmarks/loader.py`."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from crops import fill, manifest
from PIL import Image

from earcli.benchmarks import loader
from earcli.config.teacher import TrainConfig
from earcli.data.cache import Crops, load_crops


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that advances by a second whenever it is read."""
    ticks = count()
    monkeypatch.setattr(loader, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))


def test_the_naive_loader_crops_before_it_augments(tmp_path: Path) -> None:
    pixels = np.full((30, 40, 3), 255, np.uint8)
    pixels[5:15, 10:30] = 0
    Image.fromarray(pixels).save(tmp_path / "ear.png")
    cropped, whole = manifest(tmp_path, [[10, 5, 20, 10]]), manifest(tmp_path)
    image = loader.load_naively(Crops(np.empty(0), cropped, []), 0, 32)
    assert image.shape == (3, 32, 32)
    assert image.dtype == torch.float32
    assert (image == -1).all()  # neither light nor the black border changes black
    assert 0.7 < loader.load_naively(Crops(np.empty(0), whole, []), 0, 32).max() <= 1


@pytest.mark.usefixtures("clock")
def test_the_rate_is_images_over_seconds(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    crops = load_crops(manifest(tmp_path), 32, tmp_path / "cache", 1)
    config = TrainConfig(image_size=64, batch_size=4)
    threads = torch.get_num_threads()
    # an epoch has two batches of 4; after 4 seconds there are 4 batches, or 4 single images
    assert loader.measure_loader(config, crops, True) == {"images_per_second": 4.0, "naive_images_per_second": 1.0}
    assert loader.measure_loader(config, crops, False) == {"images_per_second": 4.0}
    assert torch.get_num_threads() == threads


@pytest.mark.usefixtures("clock")
def test_sets_of_any_size_are_measured_and_leave_no_cache(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    fill(tmp_path / "images", 3)
    calls: list[tuple[str, int, int]] = []
    results = loader.measure_sets(
        manifest(tmp_path / "images"), [2, 7], 32, 3, 1, tmp_path / "caches", lambda *call: calls.append(call)
    )
    assert [result["images"] for result in results] == [2, 7]
    assert [(result["build_s"], result["start_s"]) for result in results] == [(1, 1), (1, 1)]
    assert [result["images_per_second"] for result in results] == [2, 6]  # full batches of up to 3
    assert calls == [("decoding pictures", 2, 2), ("decoding pictures", 7, 7)]
    assert list((tmp_path / "caches").iterdir()) == []
