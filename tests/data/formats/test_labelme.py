"""Tests of `earcli/data/formats/labelme.py`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.formats.labelme import is_labelme, read_labelme, write_labelme
from earcli.errors import RunError

OPTIONS = {"description": "", "flags": {}, "mask": None}
BOX = {"label": "ear", "points": [[1, 2], [3, 5]], "group_id": None, "shape_type": "rectangle", **OPTIONS}


def labelme(*shapes: Any, **other: Any) -> dict[str, Any]:
    """What LabelMe 5.5 writes."""
    content = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": "..\\pictures\\a.jpg"}
    return content | {"imageData": None, "imageHeight": 480, "imageWidth": 640} | other


def shape(kind: Any, points: Any, label: Any = "ear", group: Any = None) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": group, "shape_type": kind, **OPTIONS}


def read(content: Any) -> tuple[Columns, list[str]]:
    refused: list[str] = []
    return read_labelme(content, Path("x.json"), refused.append), refused


def points_of(columns: Columns, row: int) -> Keypoints:
    points = columns.keypoints[row] if columns.keypoints else None
    assert points is not None
    return points


def test_rectangles_polygons_and_circles_are_ears() -> None:
    columns, refused = read(
        labelme(
            shape("rectangle", [[300.5, 200.25], [100.25, 50]]),
            shape("rectangle", [[1, 2], [4, 2], [4, 9], [1, 9]], "left ear"),  # X-AnyLabeling writes four corners
            shape("polygon", [[10.5, 20], [50, 20], [50, 90.25]]),
            shape("circle", [[100, 100], [103, 104]]),
        )
    )
    assert refused == []
    assert columns.paths == ["..\\pictures\\a.jpg"] * 4
    assert columns.boxes.tolist() == [
        [100.25, 50, 200.25, 150.25],
        [1, 2, 3, 7],
        [10.5, 20, 39.5, 70.25],
        [95, 95, 10, 10],
    ]
    assert columns.categories == ["ear", "left ear", "ear", "ear"]
    assert columns.sizes == [(640, 480)] * 4


def test_points_belong_to_the_box_of_their_group() -> None:
    columns, refused = read(
        labelme(
            shape("rectangle", [[0, 0], [50, 50]], group=1),
            shape("rectangle", [[10, 10], [60, 60]], group=2),
            shape("point", [[20.5, 20]], "top", 2),
            shape("point", [[21, 30]], "lobe", 2),
            shape("point", [[22, 22]], "lobe", 1),
        )
    )
    assert refused == []
    assert points_of(columns, 0).names == ("lobe", "top")
    assert points_of(columns, 0).points.tolist() == [[22, 22, 2], [0, 0, 0]]
    assert points_of(columns, 1).points.tolist() == [[21, 30, 2], [20.5, 20, 2]]


def test_an_old_file_without_types_of_shapes_holds_polygons() -> None:
    columns, refused = read(labelme({"label": "ear", "points": [[0, 0], [4, 0], [4, 6]], "line_color": None}))
    assert refused == []
    assert columns.boxes.tolist() == [[0, 0, 4, 6]]


def test_a_file_without_shapes_says_that_there_is_no_ear() -> None:
    columns, refused = read(labelme(imagePath="b.jpg"))
    assert (columns.paths, columns.unlabeled, columns.empty, refused) == ([], (), ("b.jpg",), [])


@pytest.mark.parametrize("value", [None, 3, "", ["a.jpg"]])
def test_without_a_path_the_picture_has_the_name_of_the_file(value: Any) -> None:
    assert read(labelme(BOX, imagePath=value))[0].paths == ["x"]


@pytest.mark.parametrize("value", [None, 0, -3, 1.5, float("nan"), 10**400, [640], True])
def test_a_size_that_is_no_size_is_left_out(value: Any) -> None:
    assert read(labelme(BOX, imageWidth=value))[0].sizes == [None]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (3, "3 is not an object"),
        ([], "[] is not an object"),
        ({}, "points is None"),
        (shape("rectangle", None), "points is None"),
        (shape("rectangle", [[1, 2], [3]]), "expected [[x, y], ...]"),
        (shape("rectangle", [[1, 2], [3, float("nan")]]), "nan"),
        (shape("rectangle", [[1, 2], [3, 10**400]]), "expected a number"),
        (shape("rectangle", [[1, 2], [3, True]]), "True"),
        (shape("rectangle", [[1, 2], [3, {}]]), "{}"),
        (shape("rectangle", [[1, 2]]), "a rectangle"),
        (shape("circle", [[1, 2]]), "a circle"),
        (shape("polygon", [[1, 2], [3, 4]]), "a polygon"),
        (shape("point", [[1, 2], [3, 4]]), "a point"),
        (shape("linestrip", [[1, 2], [3, 4]]), "shape_type is 'linestrip', expected rectangle, polygon"),
        (shape("mask", [[1, 2], [3, 4]]), "shape_type is 'mask'"),
        (shape(["rectangle"], [[1, 2], [3, 4]]), "shape_type is ['rectangle']"),
        (shape(10**5000, [[1, 2], [3, 4]]), ""),
        (shape("rectangle", [[1, 2], [3, 4]], 10**5000), ""),
        (shape("rectangle", [[1, 2], [3, 4]], group=10**5000), ""),
    ],
)  # fmt: skip
def test_a_bad_shape_is_refused_and_the_others_are_read(bad: Any, message: str) -> None:
    columns, refused = read(labelme(bad, BOX))
    assert columns.boxes.tolist() == [[1, 2, 2, 3]]
    assert len(refused) == 1
    assert refused[0].startswith("x.json, shapes[0]: ")
    assert message in refused[0]


def test_a_file_with_bad_shapes_alone_is_not_empty() -> None:
    columns, refused = read(labelme({}, imagePath="a.jpg"))
    assert (columns.unlabeled, columns.empty, len(refused)) == (("a.jpg",), (), 1)


def test_what_is_written_reads_back_exactly(tmp_path: Path) -> None:
    boxes = np.random.default_rng(0).uniform(0, 200, (3, 4))
    boxes[2] = np.nan
    first = Keypoints(("top", "lobe"), np.array([[1.5, 2.25, 2], [0.1 + 0.2, 4, 1]]))
    second = Keypoints(("top", "lobe"), np.array([[1 / 3, 9, 2], [0, 0, 0]]))
    written = Columns(["a/耳.x.jpg", "a/耳.x.jpg", "b/耳.x.jpg"], boxes, keypoints=[first, second, None])
    write_labelme(tmp_path, written, [(640, 480), (640, 480), (30, 20)], scores=[0.5] * 3)
    files = [tmp_path / folder / "耳.x.json" for folder in ("a", "b")]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == files
    contents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    assert all(map(is_labelme, contents))
    (one, refused), (two, more_refused) = map(read, contents)
    assert refused + more_refused == []
    assert one.paths + two.paths == ["耳.x.jpg"] * 3
    assert (one.sizes, two.sizes) == ([(640, 480)] * 2, [(30, 20)])
    np.testing.assert_allclose([*one.boxes, *two.boxes], [*boxes[:2], [0, 0, 30, 20]], rtol=0, atol=1e-9)
    assert points_of(one, 0).names == ("top", "lobe")
    assert points_of(one, 0).labeled().tolist() == first.labeled().tolist()
    assert points_of(one, 1).points.tolist() == second.points.tolist()
    assert two.keypoints is None


def test_a_file_has_the_fields_of_labelme(tmp_path: Path) -> None:
    write_labelme(tmp_path, Columns(["c/a.jpg"], np.array([[1.0, 2, 3, 4]])), [(640, 480)])
    content = json.loads((tmp_path / "c/a.json").read_text(encoding="utf-8"))
    assert content == labelme(shape("rectangle", [[1, 2], [4, 6]], group=1), imagePath="a.jpg")


@pytest.mark.parametrize(
    "content",
    [
        None, 3, "text", [], {}, [labelme()], {"shapes": {}, "imagePath": "a"}, {"images": [], "annotations": []},
        {"_via_img_metadata": {}}, {"a.jpg1": {"filename": "a.jpg", "regions": []}},
        [{"data": {"image": "a.jpg"}, "annotations": []}],
    ],
)  # fmt: skip
def test_other_json_is_not_recognized(content: Any) -> None:
    assert is_labelme(labelme())
    assert not is_labelme(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 1.5}, "label is 1.5, expected text or an integer"),
        ({"label": {}}, "label is {}, expected"),
        ({"group_id": True}, "group_id is True, expected"),
        ({"group_id": float("nan")}, "group_id is nan, expected"),
    ],
)
def test_a_label_or_a_group_of_another_type_is_refused(change: dict[str, Any], message: str) -> None:
    columns, refused = read(labelme(BOX | change, BOX))
    assert columns.categories == ["ear"]
    assert len(refused) == 1
    assert message in refused[0]


def test_the_label_zero_is_a_label() -> None:
    assert read(labelme(shape("rectangle", [[1, 2], [3, 4]], 0)))[0].categories == ["0"]


def test_two_pictures_that_would_share_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"'a.jpg' and 'a.png' would share .*a.json. Rename one"):
        write_labelme(tmp_path, Columns(["a.jpg", "a.png"], np.ones((2, 4))), [(6, 4)] * 2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../up/a.jpg", "/up/a.jpg", "../../up/../a.jpg"])
def test_nothing_is_written_outside_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "x/y"
    write_labelme(folder, Columns([name], np.ones((1, 4))), [(6, 4)])
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.json")] == ["x/y/up/a.json"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file")
    with pytest.raises(RunError, match="cannot be written"):
        write_labelme(tmp_path, Columns(["c/a.jpg"], np.ones((1, 4))), [(6, 4)])
