"""Tests of `earcli/data/formats/yolo.py`."""

from pathlib import Path

import pytest

from earcli.data.formats.yolo import YoloSet, read_data_yaml, read_yolo
from earcli.errors import ManifestError


def read(folder: Path, text: str) -> tuple[list[list[float]], list[str]]:
    (folder / "a.txt").write_text(text)
    refused: list[str] = []
    return read_yolo(folder / "a.txt", YoloSet({0: "ear"}, None), refused.append).boxes.tolist(), refused


def test_boxes_and_polygons_in_fractions(tmp_path: Path) -> None:
    boxes, refused = read(tmp_path, "0 0.5 0.5 0.25 0.5\n\n0 0.25 0.25 0.75 0.25 0.75 0.5\n")
    assert boxes == [[0.375, 0.25, 0.25, 0.5], [0.25, 0.25, 0.5, 0.25]]
    assert not refused


def test_points_have_two_or_three_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.5 0.5 0.25 0.5 0 0\n")
    columns = read_yolo(tmp_path / "a.txt", YoloSet({}, (2, 2)), pytest.fail)
    assert columns.keypoints is not None
    assert columns.keypoints[0] is not None
    assert columns.keypoints[0].points.tolist() == [[0.25, 0.5, 2], [0, 0, 0]]


@pytest.mark.parametrize(
    "line", ["0 1 2 3", "0 0.5 0.5 0.5 x", "0 320 240 100 100", "a 0.5 0.5 0.1 0.1", "0 0 0 0 0 0"]
)
def test_a_bad_line_is_refused_and_its_picture_is_not_empty(tmp_path: Path, line: str) -> None:
    boxes, refused = read(tmp_path, line)
    assert not boxes
    assert "a.txt, line 1: " in refused[0]
    assert read_yolo(tmp_path / "a.txt", YoloSet({}, None), refused.append).unlabeled == ("a",)


def test_an_empty_file_says_that_there_is_no_ear(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n")
    assert read_yolo(tmp_path / "a.txt", YoloSet({}, None), pytest.fail).empty == ("a",)


def test_data_yaml_names_classes_in_either_form(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text("names: [ear, face]\nkpt_shape: [17, 3]\n")
    assert read_data_yaml(path) == YoloSet({0: "ear", 1: "face"}, (17, 3))
    path.write_text("names:\n  0: ear\n")
    assert read_data_yaml(path) == YoloSet({0: "ear"}, None)
    path.write_text("learning_rate: 3")
    with pytest.raises(ManifestError, match=r"is no data.yaml of a YOLO set"):
        read_data_yaml(path)
