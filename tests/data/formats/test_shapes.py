"""Tests of `earcli/data/formats/shapes.py`."""

from typing import Any

import numpy as np
import pytest

from earcli.data.formats.columns import Columns
from earcli.data.formats.shapes import Picture, Shape, bounded_float, columns_from_pictures, positive_size


def box(x: float, y: float, **more: Any) -> Shape:
    return Shape("box", np.array([[x + 10, y + 10], [x, y]]), "ear", **more)


def point(name: str, x: float, y: float, group: str = "") -> Shape:
    return Shape("point", np.array([[x, y]]), name, group)


def read(*shapes: Shape, reviewed: bool = False) -> tuple[Columns, list[str]]:
    refused: list[str] = []
    picture = Picture("a.jpg", "file, a.jpg", shapes=list(shapes), reviewed=reviewed)
    return columns_from_pictures([picture], refused.append), refused


def names_of(columns: Columns) -> list[list[str]]:
    assert columns.keypoints is not None
    return [
        [] if k is None else [name for name, (_, _, v) in zip(k.names, k.points, strict=True) if v]
        for k in columns.keypoints
    ]


def test_points_go_to_the_box_of_their_group_or_around_them() -> None:
    columns, refused = read(box(0, 0, group="1"), box(50, 50), point("tip", 99, 99, "1"), point("lobe", 55, 55))
    assert not refused
    assert columns.boxes.tolist() == [[0, 0, 10, 10], [50, 50, 10, 10]]
    assert names_of(columns) == [["tip"], ["lobe"]]


def test_points_of_a_group_never_move_to_the_box_of_another() -> None:
    columns, refused = read(box(0, 0, group="1"), point("tip", 5, 5, "2"))
    assert not refused
    assert columns.boxes[0].tolist() == [0, 0, 10, 10]
    assert np.isnan(columns.boxes[1]).all()
    assert names_of(columns) == [[], ["tip"]]


def test_points_that_lie_in_no_or_several_boxes_are_refused() -> None:
    for x in (5, 200):  # in both, and in none
        columns, refused = read(box(0, 0), box(2, 2), point("tip", x, 5))
        assert len(columns.paths) == 2
        assert columns.keypoints is None
        assert f"1 points lie in {2 if x == 5 else 0} of 2 boxes" in refused[0]


def test_a_name_that_is_there_twice_on_one_ear_is_refused() -> None:
    columns, refused = read(box(0, 0), point("tip", 1, 1), point("tip", 2, 2), point("lobe", 3, 3))
    assert not columns.paths
    assert "point 'tip' is there twice on one ear" in refused[0]


def test_points_with_one_name_for_all_are_numbered() -> None:
    columns, _ = read(point("landmark", 1, 1), point("landmark", 2, 2))
    assert names_of(columns) == [["1", "2"]]


def test_a_picture_without_shapes_is_empty_only_where_it_was_reviewed() -> None:
    assert read()[0].unlabeled == ("a.jpg",)
    assert read(reviewed=True)[0].empty == ("a.jpg",)


@pytest.mark.parametrize("value", [None, True, "x", [1], float("nan"), float("inf"), 10**400, "1e9"])
def test_what_is_no_coordinate_of_a_picture_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="a coordinate is"):
        bounded_float(value)
    assert positive_size(value, 10) is None


def test_a_size_is_two_whole_positive_numbers() -> None:
    assert positive_size("640", 480.0) == (640, 480)
    assert positive_size(640, 0) is None
    assert positive_size(640, 480.5) is None
