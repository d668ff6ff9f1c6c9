"""Tests of `earcli/curation/box_geometry.py`."""

import numpy as np
import pytest

from earcli.curation.box_geometry import box_iou, looks_like_corners, looks_like_sizes, overhang


def test_boxes_of_the_other_convention_are_told_apart() -> None:
    size = (100, 80)
    assert looks_like_corners(np.array([40.0, 30, 90, 70]), size)
    assert not looks_like_corners(np.array([10.0, 10, 50, 40]), size)  # fits as it is
    assert not looks_like_corners(np.array([10.0, 10, 92, 72]), size)  # hangs over the border a little
    assert not looks_like_corners(np.array([10.0, 10, 500, 40]), size)  # fits as neither
    assert looks_like_sizes(np.array([40.0, 30, -10, -5]), size)  # was 40, 30, 30, 25
    assert not looks_like_sizes(np.array([40.0, 30, 10, 5]), size)
    assert overhang(np.array([90.0, 0, 20, 80]), size) == pytest.approx(0.5)
    assert overhang(np.array([0.0, 0, 100, 80]), size) == 0


def test_box_iou_is_intersection_over_union() -> None:
    a, b = np.array([0.0, 0, 10, 10]), np.array([5.0, 0, 10, 10])
    assert box_iou(a, b) == pytest.approx(50 / 150)
    assert box_iou(a, a) == 1
    assert box_iou(a, np.array([20.0, 0, 10, 10])) == 0
    assert box_iou(a, np.full(4, np.nan)) == 0
