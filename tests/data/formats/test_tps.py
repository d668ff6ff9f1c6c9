"""Tests of `earcli/data/formats/tps.py`."""

from pathlib import Path

import pytest

from earcli.data.formats.tps import read_tps
from earcli.errors import ManifestError


def test_blocks_give_points_of_pictures_and_bad_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ears.tps"
    path.write_text(
        "LM=2\n1 2\n3.5 4\nIMAGE=a.jpg\nID=0\nSCALE=0.1\nLM=0\nIMAGE=b.jpg\nLM=2\n1 2\nIMAGE=c.jpg\nLM=1\n1 2\nID=3\n"
    )
    refused: list[str] = []
    columns = read_tps(path, refused.append)
    assert columns.paths == ["a.jpg"]
    assert columns.keypoints is not None
    assert columns.keypoints[0] is not None
    assert columns.keypoints[0].points.tolist() == [[1, 2, 2], [3.5, 4, 2]]
    assert columns.from_bottom
    assert columns.unlabeled == ("b.jpg",)
    assert ["line 9" in refused[0], "names no IMAGE" in refused[1]] == [True, True]


def test_another_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tps").write_text("hello")
    with pytest.raises(ManifestError, match="has no line LM="):
        read_tps(tmp_path / "x.tps", pytest.fail)
