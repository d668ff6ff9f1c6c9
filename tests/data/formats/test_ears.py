"""Tests of `earcli/data/formats/ears.py`."""

from pathlib import Path

import numpy as np
import pytest

from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.formats.ears import ears_by_picture, files_of_pictures
from earcli.errors import RunError


def test_ears_of_one_picture_come_together_and_a_missing_box_is_the_picture() -> None:
    points = Keypoints(("tip",), np.array([[3.0, 4.0, 1.0]]))
    boxes = np.array([[1.0, 2, 3, 4], [np.nan] * 4, [5, 6, 7, 8]])
    columns = Columns(["a", "b", "a"], boxes, ["kim", "", ""], keypoints=[points, None, None])
    (first, size, ears), (second, _, whole) = ears_by_picture(columns, [(9, 8), (20, 10), (9, 8)], [0.5, 0.25, 1.0])
    assert (first, size, second) == ("a", (9, 8), "b")
    assert [ear.box for ear in ears] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert (ears[0].points, ears[0].subject, ears[0].score) == ([("tip", 3.0, 4.0, 1)], "kim", 0.5)
    assert whole[0].box == [0, 0, 20, 10]


def test_files_stay_in_their_folder_and_are_never_shared(tmp_path: Path) -> None:
    files = files_of_pictures(tmp_path, ["../a.jpg", "/b/c.png", "d.e.jpg"], ".txt")
    assert [file.relative_to(tmp_path).as_posix() for file in files] == ["a.txt", "b/c.txt", "d.e.txt"]
    with pytest.raises(RunError, match=r"'a.jpg' and 'a.png' would share"):
        files_of_pictures(tmp_path, ["a.jpg", "a.png"], ".txt")
