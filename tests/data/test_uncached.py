"""Tests of `earcli/data/uncached.py`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from crops import fill, manifest

from earcli.data.batches import crop_dataset
from earcli.data.cache import load_crops
from earcli.data.uncached import decode_crops
from earcli.errors import DataError


def test_without_a_cache_come_the_same_crops_and_nothing_is_written(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    (tmp_path / "007.png").write_text("no picture")
    before = sorted(tmp_path.iterdir())
    seen: list[tuple[str, int, int]] = []
    crops = decode_crops(manifest(tmp_path), 32, 2, lambda *args: seen.append(args))
    assert sorted(tmp_path.iterdir()) == before
    assert seen == [("checking pictures", 20, 20)]
    cached = load_crops(manifest(tmp_path), 32, tmp_path / "cache", 2)
    assert (crops.skipped, crops.manifest.paths) == (cached.skipped, cached.manifest.paths)
    assert crops.pixels.shape == cached.pixels.shape
    for which in (3, slice(5, 9), np.array([12, 0, 12]), slice(19, None)):
        np.testing.assert_array_equal(crops.pixels[which], cached.pixels[which])
    batches = [crop_dataset(c)[np.array([2, 0])]["pixels"] for c in (crops, cached)]
    assert torch.equal(*batches)
    (tmp_path / "003.png").unlink()
    with pytest.raises(DataError, match=r"003\.png could be read at the start, but no longer: no such file"):
        crops.pixels[:5]


def test_without_a_cache_too_many_bad_pictures_stop(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    for index in range(2):
        (tmp_path / f"{index:03d}.png").write_text("no picture")
    with pytest.raises(DataError, match="2 of 20 pictures cannot be used"):
        decode_crops(manifest(tmp_path), 32, 2)
