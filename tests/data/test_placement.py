"""Tests of `earcli/data/placement.py`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.placement import are_fractions, fit_to_picture
from earcli.errors import ManifestError

PATH = Path("labels.json")


def columns(box: list[float], points: list[list[float]], **more: bool) -> Columns:
    keypoints = Keypoints(tuple(map(str, range(len(points)))), np.array(points))
    return Columns(["a.png"], np.array([box]), keypoints=[keypoints], **more)


def test_a_file_is_in_fractions_if_all_its_values_are() -> None:
    assert are_fractions(columns([0.1, 0.2, 0.5, 0.5], [[0.3, 0.4, 2]]), PATH)
    assert not are_fractions(columns([0.1, 0.2, 5, 5], [[3, 4, 2]]), PATH)
    with pytest.raises(ManifestError, match="boxes in fractions of the picture and points in pixels"):
        are_fractions(columns([0.1, 0.2, 0.5, 0.5], [[30, 40, 2]]), PATH)


def test_points_from_the_lower_edge_are_turned_over(tmp_path: Path) -> None:
    Image.new("L", (20, 50)).save(tmp_path / "a.png")
    _, points, done = fit_to_picture(
        columns([np.nan] * 4, [[3, 10, 2]], from_bottom=True), 0, tmp_path / "a.png", False
    )
    assert points is not None
    assert points.points.tolist() == [[3, 40, 2]]
    assert done == ""
