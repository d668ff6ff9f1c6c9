"""Tests of `earcli/curation/keypoint_shapes.py`."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from earcli.curation.keypoint_shapes import find_points_outside, find_unusual_shapes
from earcli.curation.split_part import SplitPart
from earcli.data.formats.columns import Keypoints
from earcli.data.manifest import Manifest

NAN = [np.nan] * 4


def part_of(keypoints: list[NDArray[np.float64] | None], boxes: list[list[float]] | None = None) -> SplitPart:
    names = [f"{row}.jpg" for row in range(len(keypoints))]
    points = [None if p is None else Keypoints(tuple(map(str, range(len(p)))), p) for p in keypoints]
    manifest = Manifest(names, np.array(boxes or [NAN] * len(names)), keypoints=points)
    return SplitPart(0, Path("set.csv"), manifest, [], [])


def similar_shapes(count: int) -> list[NDArray[np.float64]]:
    """One shape at random places, sizes and angles, half of them mirrored, with an error of 1%."""
    rng = np.random.default_rng(0)
    base = np.array([[0.0, 0], [4, 1], [5, 5], [2, 7], [-1, 3]])
    shapes = []
    for number in range(count):
        cos, sin = np.cos(number), np.sin(number)
        mirror = np.diag([(-1.0) ** number, 1])
        shape = rng.uniform(5, 50) * (base + rng.normal(0, 0.05, base.shape)) @ mirror @ [[cos, sin], [-sin, cos]]
        shapes.append(np.column_stack([shape + rng.uniform(0, 500, 2), np.full(len(base), 2)]))
    return shapes


def test_a_labeled_point_may_leave_its_box_by_a_tenth_of_its_sides() -> None:
    box = [0.0, 0, 100, 50]
    inside = np.array([[-9.9, -4.9, 2], [109.9, 54.9, 1], [500, 500, 0]])
    outside = np.array([[110.1, 25, 2], [50, 55.1, 1], [50, 25, 2], [50, -5.1, 0]])
    part = part_of([inside, outside, outside, None], [box, box, NAN, box])
    finding, *others = find_points_outside(part)
    assert others == []
    assert (finding.kind, finding.row, finding.path) == ("points-outside", 1, "1.jpg")
    assert finding.detail.startswith("2 of 3 keypoints are outside")
    assert finding.severity == pytest.approx(2 / 3)


def test_a_shape_with_swapped_points_is_found_among_moved_turned_and_mirrored_ones() -> None:
    shapes = similar_shapes(20)
    assert list(find_unusual_shapes([part_of(shapes)])) == []
    shapes[7] = shapes[7][[1, 0, 2, 3, 4]]
    assert [(found.kind, found.row) for found in find_unusual_shapes([part_of(shapes)])] == [("points-layout", 7)]


def test_incomplete_and_degenerate_shapes_are_not_compared() -> None:
    shapes = similar_shapes(20)
    shapes[3] = shapes[3][[1, 0, 2, 3, 4]]
    shapes[3][4, 2] = 0
    shapes[5][:, :2] = 9
    assert list(find_unusual_shapes([part_of([*shapes, None])])) == []


def test_ten_shapes_of_all_parts_together_are_needed_to_compare() -> None:
    shapes = similar_shapes(10)
    shapes[4] = shapes[4][[1, 0, 2, 3, 4]]
    assert list(find_unusual_shapes([part_of(shapes[:9])])) == []
    parts = [part_of(shapes[:5]), part_of(shapes[5:])]
    assert [(found.kind, found.row) for found in find_unusual_shapes(parts)] == [("points-layout", 4)]
