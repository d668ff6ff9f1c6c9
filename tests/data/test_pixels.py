"""Tests of `earcli/data/pixels.py`."""

import errno
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from earcli.data.pixels import MirroredPixels, StoredPixels, undo_mirroring
from earcli.errors import DataError
from earcli.training.memory import resident_memory


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_reading_a_large_set_does_not_make_the_process_large(tmp_path: Path) -> None:
    shape = (2**11, 64, 64, 3)
    expected = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "x").write_bytes(expected.tobytes())
    pixels = StoredPixels(tmp_path / "x", shape)
    before = resident_memory(torch.device("cpu"))
    for index in range(len(pixels)):
        np.testing.assert_array_equal(pixels[index], expected[index])
    assert resident_memory(torch.device("cpu")) - before < expected.nbytes / 4
    with pytest.raises(ValueError, match="bytes, expected"):
        StoredPixels(tmp_path / "x", (5, 64, 64, 3))


def stored(folder: Path, count: int = 6) -> tuple[StoredPixels, np.ndarray]:
    wanted = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    (folder / "x").write_bytes(wanted.tobytes())
    return StoredPixels(folder / "x", wanted.shape), wanted


@pytest.mark.parametrize("everywhere", [True, False], ids=["as Windows reads", "as others read"])
def test_stored_pixels_are_indexed_as_an_array_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, everywhere: bool
) -> None:
    if everywhere:
        monkeypatch.delattr(os, "preadv", raising=False)
    pixels, wanted = stored(tmp_path)
    indices = [0, -1, np.int64(3), slice(None), slice(1, 5, 2), slice(9, 12), [4, 0, 0], np.array([[5, 1], [2, 3]])]
    for which in [*indices, np.arange(6)[::-1], wanted[:, 0, 0, 0] > 99, np.array([], int)]:
        np.testing.assert_array_equal(pixels[which], wanted[which])
    with pytest.raises(IndexError):
        pixels[6]


def test_a_cache_that_is_cut_while_it_is_read_is_an_error_and_no_crash(tmp_path: Path) -> None:
    pixels, wanted = stored(tmp_path)
    os.truncate(tmp_path / "x", 4 * 8 * 8 * 3 + 7)
    np.testing.assert_array_equal(pixels[:4], wanted[:4])
    with pytest.raises(DataError, match=r"x, the pixel cache, .* truncated\). Check its disk"):
        pixels[:]


def test_a_cache_whose_disk_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    pixels = stored(tmp_path)[0]
    monkeypatch.setattr(os, "preadv", fail, raising=False)
    with pytest.raises(DataError, match=r"x, the pixel cache, .* \(Input/output error\)"):
        pixels[2]


def test_another_process_opens_the_same_file(tmp_path: Path) -> None:
    wanted = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    (tmp_path / "x").write_bytes(wanted.tobytes())
    sent = pickle.dumps(StoredPixels(tmp_path / "x", wanted.shape))
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent)[:], wanted)


def test_mirrored_crops_are_read_by_any_index_and_mirrored_back() -> None:
    plain = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    mirrored = np.array([True, False, True, False, False])
    pixels = MirroredPixels(plain, mirrored)
    wanted = np.stack([crop[:, ::-1] if flag else crop for crop, flag in zip(plain, mirrored, strict=True)])
    assert (len(pixels), pixels.shape) == (5, plain.shape)
    rows = np.array([2, 3, 0])
    for index in (0, slice(1, 4), rows, slice(None)):
        assert np.array_equal(pixels[index], wanted[index])
    assert np.array_equal(undo_mirroring(pixels, rows, wanted[rows]), plain[rows])
    assert np.array_equal(undo_mirroring(plain, rows, plain[rows]), plain[rows])
