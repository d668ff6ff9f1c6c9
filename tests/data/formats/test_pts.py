"""Tests of `earcli/data/formats/pts.py`."""

from pathlib import Path

import pytest
from tables import saved

from earcli.data.formats.pts import read_pts
from earcli.errors import ManifestError

# the form of the iBUG group's ear and face sets
PTS = """version: 1
n_points:  3
{
118.000000 209.500000
1.0 1.0
120.25 300
}
"""


def test_pts_counts_pixels_from_one(tmp_path: Path) -> None:
    points = read_pts(saved(tmp_path / "a.pts", PTS))
    assert points.points.tolist() == [[117, 208.5, 2], [0, 0, 2], [119.25, 299, 2]]
    assert points.names == ("1", "2", "3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1\nn_points: 2\n{\n1 2\n3\n}\n", "line 5: '3', expected x and y"),
        ("version: 1\nn_points: 2\n{\n1 2\n", "no points in braces"),
        ("version: 1\nn_points: 2\n{\n1 2\n}\n", "says n_points: 2, but has 1"),
        ("version: 1\nn_points: 1\n{\nnan 2\n}\n", "not finite"),
        ("", "no points in braces"),
    ],
)
def test_a_broken_pts_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=r"a\.pts") as caught:
        read_pts(saved(tmp_path / "a.pts", text))
    assert message in str(caught.value)
