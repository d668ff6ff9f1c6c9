"""Tests of `earcli/data/formats/label_studio.py`."""

from pathlib import Path
from typing import Any

import pytest

from earcli.data.formats.columns import Columns
from earcli.data.formats.label_studio import is_label_studio, read_label_studio

BOX = {"x": 10, "y": 20, "width": 50, "height": 25, "rotation": 0, "rectanglelabels": ["ear"]}


def region(value: dict[str, Any], **more: Any) -> dict[str, Any]:
    sides = {"original_width": 200, "original_height": 100, "image_rotation": 0}
    return {"id": "r", "type": "rectanglelabels", "value": value, **sides, **more}


def read(*annotations: Any) -> tuple[Columns, list[str]]:
    content = [{"id": 4, "data": {"image": "a.jpg"}, "annotations": list(annotations)}]
    assert is_label_studio(content)
    refused: list[str] = []
    return read_label_studio(content, Path("x.json"), refused.append), refused


def test_percentages_become_pixels_of_the_original_size() -> None:
    columns, refused = read({"result": [region(BOX)]})
    assert columns.boxes.tolist() == [[20, 20, 100, 25]]
    assert columns.sizes == [(200, 100)]
    assert not refused


def test_a_rotated_rectangle_gives_its_bounding_box() -> None:
    columns, _ = read({"result": [region({**BOX, "rotation": 90})]})
    assert columns.boxes[0] == pytest.approx([20 - 25, 20, 25, 100])  # clockwise around the top-left corner


def test_reviewed_unlabeled_cancelled_and_contradictory_tasks_are_told_apart() -> None:
    assert read({"result": []})[0].empty == ("a.jpg",)
    assert read()[0].unlabeled == ("a.jpg",)
    assert read({"result": [region(BOX)], "was_cancelled": True})[0].unlabeled == ("a.jpg",)
    columns, refused = read({"result": [region(BOX)]}, {"result": [region({**BOX, "x": 11})]})
    assert not columns.paths
    assert "2 annotations of 'a.jpg' differ" in refused[0]
    assert len(read({"result": [region(BOX)]}, {"result": [region(BOX)]})[0].paths) == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (region(BOX, image_rotation=90), "image_rotation"),
        (region(BOX, original_width=None), "no original_width"),
        (region({**BOX, "x": "left"}), "a coordinate is 'left'"),
        ("r", "has no value"),
    ],
)
def test_a_region_that_cannot_be_placed_is_refused(bad: Any, message: str) -> None:
    columns, refused = read({"result": [bad]})
    assert not columns.paths
    assert not columns.empty
    assert message in refused[0]
