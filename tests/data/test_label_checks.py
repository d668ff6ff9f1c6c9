"""Tests of `earcli/data/label_checks.py`."""

import numpy as np
import pytest

from earcli.data.formats.columns import Keypoints
from earcli.data.images import BadPictureError
from earcli.data.label_checks import check_label, most_common_layout

BOX = np.array([1.0, 2, 30, 40])


def points(*names: str) -> Keypoints:
    return Keypoints(names, np.array([[10.0 + i, 20.0, 2] for i in range(len(names))]))


def test_the_most_common_names_are_the_layout() -> None:
    assert most_common_layout([points("a", "b"), None, points("b", "a"), points("a", "b")], None) == ("a", "b")
    assert most_common_layout([points("a", "b"), points("c")], 1) == ("c",)
    assert most_common_layout([None], 2) == ("1", "2")


def test_points_are_put_in_order_by_name_and_other_names_are_refused() -> None:
    _, xyv = check_label(BOX, points("b", "a"), ("a", "b"), (100, 100))
    assert xyv[:, 0].tolist() == [11, 10]
    with pytest.raises(BadPictureError, match="point 'c' has another name"):
        check_label(BOX, points("a", "c"), ("a", "b"), (100, 100))
    with pytest.raises(BadPictureError, match="no label"):
        check_label(np.full(4, np.nan), None, (), (100, 100))
