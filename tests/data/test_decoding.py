"""Tests of `earcli/data/decoding.py`."""

from pathlib import Path

import pytest
from PIL import Image

from earcli.data.decoding import sample_crops
from earcli.data.manifest import read_manifest
from earcli.errors import DataError


def test_a_sample_passes_over_what_cannot_be_read(ears: Path, tmp_path: Path) -> None:
    manifest = read_manifest(ears / "val_teacher.npy")
    good = sample_crops(manifest, 64, 9, 2)  # of 6
    assert good.shape == (9, 64, 64, 3)
    for name in manifest.paths:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.open(ears / name).save(tmp_path / name, quality=95)
    (tmp_path / manifest.paths[1]).write_bytes(b"")
    moved = read_manifest(ears / "val_teacher.npy", tmp_path)
    assert sample_crops(moved, 64, 6, 2).shape == (6, 64, 64, 3)
    with pytest.raises(DataError, match="None of 1 pictures"):
        sample_crops(moved.subset([1]), 64, 6, 2)
