"""Tests of `earcli/data/inputs.py`."""

from pathlib import Path

import numpy as np
import pytest

from earcli.data.inputs import collect_pictures
from earcli.data.manifest import read_manifest


def test_sources_are_gathered_in_the_order_given(ears: Path, people: Path) -> None:
    manifest = ears / "val_teacher.npy"
    gathered = collect_pictures([people / "person 2", manifest], None, pytest.fail)
    own = read_manifest(manifest)
    assert len(gathered) == 2 + len(own)
    assert gathered.paths[0].endswith(".jpg")
    assert np.isnan(gathered.boxes[:2]).all()
    assert np.array_equal(gathered.boxes[2:], own.boxes)
    assert [gathered.locate(2 + i) for i in range(len(own))] == [own.locate(i).absolute() for i in range(len(own))]
    assert gathered.subjects is None
