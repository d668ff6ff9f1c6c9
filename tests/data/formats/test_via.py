"""Tests of `earcli/data/formats/via.py`."""

from pathlib import Path
from typing import Any

import pytest

from earcli.data.formats.via import is_via, read_via


def entry(*regions: tuple[dict[str, Any], Any]) -> dict[str, Any]:
    listed = [{"shape_attributes": shape, "region_attributes": attributes} for shape, attributes in regions]
    return {"a.jpg7": {"filename": "a.jpg", "size": 7, "regions": listed}}


def test_every_outline_gives_its_bounding_box() -> None:
    content = entry(
        ({"name": "circle", "cx": 10, "cy": 20, "r": 5}, {"name": "ear"}),
        ({"name": "ellipse", "cx": 10, "cy": 20, "rx": 4, "ry": 6}, {"type": {"ear": True, "face": False}}),
        ({"name": "polygon", "all_points_x": [1, 9, 5], "all_points_y": [2, 3, 8]}, {"ear": "ear"}),
    )
    assert is_via(content)
    columns = read_via(content, Path("x.json"), pytest.fail)
    assert columns.boxes.tolist() == [[5, 15, 10, 10], [6, 14, 8, 12], [1, 2, 8, 6]]
    assert columns.categories == ["ear"] * 3


def test_a_region_of_another_kind_is_refused_and_its_picture_is_not_labeled() -> None:
    refused: list[str] = []
    columns = read_via(entry(({"name": "polyline"}, {})), Path("x.json"), refused.append)
    assert columns.unlabeled == ("a.jpg",)
    assert "a region of the kind 'polyline'" in refused[0]


@pytest.mark.parametrize("content", [None, [], {}, {"a": 1}, {"images": [], "annotations": []}])
def test_other_json_is_no_via(content: Any) -> None:
    assert not is_via(content)
