"""Tests of `earcli/data/formats/label_studio.py`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.formats.label_studio import is_label_studio, read_label_studio, write_label_studio
from earcli.errors import RunError

SIDES = {"original_width": 640, "original_height": 480, "image_rotation": 0, "to_name": "image"}
BOX = {"x": 25.0, "y": 50.0, "width": 12.5, "height": 25.0, "rotation": 0, "rectanglelabels": ["ear"]}
PIXELS = [160, 240, 80, 120]


def region(value: Any, kind: str | None = "rectanglelabels", key: str = "r1", **other: Any) -> dict[str, Any]:
    return {"id": key, "type": kind, "from_name": "label", "value": value, "origin": "manual", **SIDES, **other}


def point(x: float, y: float, name: str, key: str, **other: Any) -> dict[str, Any]:
    value = {"x": 100 * x / 640, "y": 100 * y / 480, "width": 0.4, "keypointlabels": [name]}
    return region(value, "keypointlabels", key, **other)


def box(x: float, y: float, width: float, height: float, key: str, label: str = "ear") -> dict[str, Any]:
    value = {"x": x / 6.4, "y": y / 4.8, "width": width / 6.4, "height": height / 4.8, "rectanglelabels": [label]}
    return region(value | {"rotation": 0}, key=key)


def annotation(*result: Any, **other: Any) -> dict[str, Any]:
    return {"id": 7, "completed_by": 1, "result": list(result), "was_cancelled": False, "lead_time": 8.1} | other


def task(*annotations: Any, **other: Any) -> dict[str, Any]:
    """What Label Studio 1.13 exports."""
    data = {"image": "/data/upload/3/0f7a-a.jpg"}
    return {"id": 12, "annotations": list(annotations), "predictions": [], "data": data, "drafts": [], **other}


def read(*tasks: Any, **options: Any) -> tuple[Columns, list[str]]:
    refused: list[str] = []
    return read_label_studio(list(tasks), Path("x.json"), refused.append, **options), refused


def points_of(columns: Columns, row: int) -> Keypoints:
    points = columns.keypoints[row] if columns.keypoints else None
    assert points is not None
    return points


def test_percentages_become_pixels_of_the_original_picture() -> None:
    outline = {"points": [[25, 50], [50, 50], [50, 75.5]], "polygonlabels": ["left ear"], "closed": True}
    columns, refused = read(task(annotation(region(BOX), region(outline, "polygonlabels", "r2"))))
    assert refused == []
    assert columns.paths == ["/data/upload/3/0f7a-a.jpg"] * 2
    np.testing.assert_allclose(columns.boxes, [PIXELS, [160, 240, 160, 122.4]], rtol=0, atol=1e-9)
    assert columns.categories == ["ear", "left ear"]
    assert columns.sizes == [(640, 480)] * 2


def test_a_turned_rectangle_gives_its_bounding_box() -> None:
    turned = {**BOX, "rotation": 90}  # clockwise around the top-left corner, so that it lies to the left
    columns, refused = read(task(annotation(region(turned))))
    assert refused == []
    np.testing.assert_allclose(columns.boxes, [[160 - 120, 240, 120, 80]], atol=1e-9)


def test_key_points_belong_to_their_parent() -> None:
    ears = [box(0, 0, 300, 300, "a"), box(100, 100, 300, 300, "b")]
    points = [point(150, 150, "lobe", "p", parentID="b"), point(160, 170, "lobe", "q", parentID="a")]
    columns, refused = read(task(annotation(*points, *ears)))
    assert refused == []
    np.testing.assert_allclose([points_of(columns, i).labeled()[0] for i in (0, 1)], [[160, 170], [150, 150]])


@pytest.mark.parametrize("flip", [False, True])
def test_key_points_belong_to_the_rectangle_that_a_relation_links_them_to(flip: bool) -> None:
    ears = [box(0, 0, 300, 300, "a"), box(100, 100, 300, 300, "b")]
    points = [point(150, 150, "lobe", "p"), point(160, 170, "lobe", "q")]
    ends = [("p", "b"), ("a", "q")] if flip else [("b", "p"), ("q", "a")]
    links = [{"type": "relation", "from_id": one, "to_id": two, "direction": "right"} for one, two in ends]
    columns, refused = read(task(annotation(*ears, *points, *links)))
    assert refused == []
    np.testing.assert_allclose([points_of(columns, i).labeled()[0] for i in (0, 1)], [[160, 170], [150, 150]])


def test_a_point_without_a_parent_belongs_to_the_only_rectangle() -> None:
    columns, refused = read(task(annotation(box(0, 0, 99, 99, "a"), point(9, 8, "lobe", "p", parentID="gone"))))
    assert refused == []
    assert points_of(columns, 0).names == ("lobe",)


def test_rectangles_with_labels_of_their_own_are_one_ear() -> None:
    plain = {key: BOX[key] for key in ("x", "y", "width", "height", "rotation")}
    named = region({**plain, "labels": ["ear"]}, "labels")
    for results in ([region(plain, "rectangle"), named], [named, region(plain, "rectangle")]):
        columns, refused = read(task(annotation(*results)))
        assert (refused, columns.categories, columns.boxes.tolist()) == ([], ["ear"], [PIXELS])


@pytest.mark.parametrize("kind", ["choices", "textarea", "rating"])
def test_what_is_said_about_a_rectangle_is_no_rectangle(kind: str) -> None:
    about = region({**BOX, kind: ["blurred"]}, kind)
    columns, refused = read(task(annotation(region(BOX), about)))
    assert (len(columns.paths), refused) == (1, [])


def test_a_task_without_annotations_is_unlabeled_and_an_empty_annotation_shows_no_ear() -> None:
    cancelled = annotation(region(BOX), was_cancelled=True)
    for item in (task(), task(cancelled), task(predictions=[annotation(region(BOX))])):
        columns, refused = read(item)
        assert (columns.paths, columns.unlabeled, columns.empty, refused) == ([], (item["data"]["image"],), (), [])
    columns, refused = read(task(annotation(), cancelled))
    assert (columns.unlabeled, columns.empty, refused) == ((), ("/data/upload/3/0f7a-a.jpg",), [])


def test_a_picture_of_which_only_a_choice_is_made_is_not_empty() -> None:
    columns, refused = read(task(annotation({"type": "choices", "value": {"choices": ["good"]}, "id": "c"})))
    assert (len(columns.unlabeled), columns.empty, refused) == (1, (), [])


def test_equal_annotations_count_once_and_others_are_refused() -> None:
    other = region({**BOX, "x": 26.0}, key="r2")
    columns, refused = read(task(annotation(region(BOX)), annotation(region(BOX, key="r2"))))
    assert (columns.boxes.tolist(), refused) == ([PIXELS], [])
    for second in (annotation(other), annotation()):
        columns, refused = read(task(annotation(region(BOX)), second))
        assert (columns.paths, columns.unlabeled, columns.empty) == ([], ("/data/upload/3/0f7a-a.jpg",), ())
        assert refused == ["x.json, task 12: 2 annotations of '/data/upload/3/0f7a-a.jpg' differ. Keep one of them"]


def minimal(**other: Any) -> dict[str, Any]:
    """A task of JSON-MIN."""
    sides = {"original_width": 640, "original_height": 480}
    dot = {"x": 30.0, "y": 60.0, "width": 0.3, "keypointlabels": ["lobe"], **sides}
    regions = {"label": [{**BOX, **sides}], "kp-1": [dot]}
    about = {"annotator": 1, "annotation_id": 5, "created_at": "2026-11-01T10:00:00Z", "lead_time": 2.5}
    return {"image": "/data/upload/1/a.jpg", "id": 3, **regions, **about, **other}


def test_the_minimal_form_is_read() -> None:
    columns, refused = read(minimal(choice="good"))
    assert is_label_studio([minimal()])
    assert refused == []
    assert columns.boxes.tolist() == [PIXELS]
    np.testing.assert_allclose(points_of(columns, 0).points, [[192, 288, 2]])
    about = {"image": "b.jpg", "id": 4, "annotator": 1, "annotation_id": 6}
    assert is_label_studio([about])
    assert read(about)[0].empty == ("b.jpg",)


def test_the_minimal_form_has_an_entry_for_each_annotator() -> None:
    columns, refused = read(minimal(), minimal(annotator=2, annotation_id=6))
    assert (len(columns.paths), refused) == (1, [])
    columns, refused = read(minimal(), minimal(label=[], annotation_id=6))
    assert (columns.paths, columns.unlabeled, len(refused)) == ([], ("/data/upload/1/a.jpg",), 1)
    assert "2 annotations" in refused[0]


def test_the_picture_may_have_another_key_than_image() -> None:
    assert read(task(annotation(region(BOX)), data={"ear": "s3://b/a.jpg", "age": 7}))[0].paths == ["s3://b/a.jpg"]
    for data in ({}, {"image": 3}, {"image": ""}, {"one": "a.jpg", "two": "b.jpg"}):
        columns, refused = read(task(annotation(region(BOX)), data=data), task(annotation(region(BOX)), id=13))
        assert (len(columns.paths), len(refused)) == (1, 1)
        assert refused[0].startswith("x.json, task 12: data is ")


HUGE = 10**400


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (3, "3 has no value"),
        ([], "[] has no value"),
        ({}, "{} has no value"),
        (region([]), "has no value"),
        (region(BOX, original_width=None), "no original_width"),
        (region(BOX, original_height=HUGE), "no original_width"),
        (region(BOX, image_rotation=90), "image_rotation"),
        (region(BOX, image_rotation=[]) | {"image_rotation": [1]}, "[1]"),
        (region({**BOX, "x": None}), "None"),
        (region({**BOX, "x": float("nan")}), "nan"),
        (region({**BOX, "y": float("inf")}), "inf"),
        (region({**BOX, "y": HUGE}), "expected a number"),
        (region({**BOX, "width": -1}), "expected positive numbers"),
        (region({**BOX, "height": True}), "True"),
        (region({**BOX, "rotation": {"a": 1}}), "expected a number"),
        (region({**BOX, "rectanglelabels": [{}]}), "{}, expected text"),
        (region({k: v for k, v in BOX.items() if k != "height"}), "None"),
        (region({**BOX, "radiusX": 3, "ellipselabels": ["ear"]}, "ellipselabels"), "'ellipselabels'"),
        (region({"x": 3, "y": 3, "radiusX": 3, "radiusY": 3, "ellipselabels": ["ear"]}, None), "'ellipselabels'"),
        (region({"format": "rle", "rle": [1], "brushlabels": ["ear"]}, "brushlabels"), "'brushlabels'"),
        (region({"points": [[1, 2], [3, 4]], "polygonlabels": ["ear"]}, "polygonlabels"), "three or more"),
        (region({"points": [[1, 2], [3, 4], [5]], "polygonlabels": ["ear"]}, "polygonlabels"), "[x, y]"),
        (region({"points": {}, "polygonlabels": ["ear"]}, "polygonlabels"), "{}"),
        (region(BOX) | {"id": {}}, "{}, expected text"),
        (region(BOX) | {"id": 10**5000}, ""),
    ],
)  # fmt: skip
def test_a_bad_region_is_refused_and_the_others_are_read(bad: Any, message: str) -> None:
    columns, refused = read(task(annotation(bad, region(BOX, key="good"))))
    assert columns.boxes.tolist() == [PIXELS]
    assert len(refused) == 1
    assert refused[0].startswith("x.json, task 12, result[0]: ")
    assert message in refused[0]


def test_a_picture_with_bad_regions_alone_is_not_empty() -> None:
    columns, refused = read(task(annotation({})))
    assert (len(columns.unlabeled), columns.empty, len(refused)) == (1, (), 1)


def test_regions_of_pictures_of_two_sizes_are_refused() -> None:
    columns, refused = read(task(annotation(region(BOX), region(BOX, key="r2", original_width=320))))
    assert (len(columns.paths), len(refused)) == (1, 1)


@pytest.mark.parametrize("result", [None, 7, {}, "text"])
def test_an_annotation_whose_result_is_no_list_is_refused(result: Any) -> None:
    columns, refused = read(task(annotation() | {"result": result}))
    assert (len(columns.unlabeled), columns.empty, len(refused)) == (1, (), 1)


@pytest.mark.parametrize("annotations", [7, "text", {"a": 1}, [3], True])
def test_annotations_that_are_no_objects_are_refused(annotations: Any) -> None:
    columns, refused = read(task() | {"annotations": annotations})
    assert (columns.paths, columns.empty, len(refused)) == ([], (), 1)


@pytest.mark.parametrize(
    "content",
    [
        None, 3, "text", [], {}, [3], [[]], [{}], [{"data": {"image": "a.jpg"}}], [{"image": "a.jpg", "label": "ear"}],
        [{"image": "a.jpg", "annotations": [{"label": "ear", "coordinates": {"x": 1, "y": 2}}]}],
        {"images": [], "annotations": []}, {"shapes": [], "imagePath": "a"}, {"_via_img_metadata": {}},
        {"a.jpg1": {"filename": "a.jpg", "regions": []}}, [{"file_name": "a.jpg", "annotations": []}],
    ],
)  # fmt: skip
def test_other_json_is_not_recognized(content: Any) -> None:
    assert is_label_studio([task()])
    assert not is_label_studio(content)


@pytest.mark.parametrize("scores", [None, [0.5, 0.75, 0.25]])
def test_what_is_written_reads_back(tmp_path: Path, scores: list[float] | None) -> None:
    boxes = np.random.default_rng(0).uniform(0, 200, (3, 4))
    boxes[2] = np.nan
    first = Keypoints(("top", "lobe"), np.array([[1.5, 2.25, 2], [0.1 + 0.2, 4, 1]]))
    second = Keypoints(("top", "lobe"), np.array([[1 / 3, 9, 2], [0, 0, 0]]))
    written = Columns(["a/耳.jpg", "a/耳.jpg", "b.jpg"], boxes, keypoints=[first, second, None])
    write_label_studio(tmp_path / "x.json", written, [(641, 479), (641, 479), (30, 20)], scores)
    content = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert is_label_studio(content)
    columns, refused = read(*content, predictions=True)
    assert refused == []
    assert columns.paths == written.paths
    assert columns.sizes == [(641, 479), (641, 479), (30, 20)]
    np.testing.assert_allclose(columns.boxes, [*boxes[:2], [0, 0, 30, 20]], rtol=0, atol=1e-9)
    for row, points in enumerate((first, second)):
        assert points_of(columns, row).names == ("top", "lobe")
        np.testing.assert_allclose(points_of(columns, row).labeled(), points.labeled(), rtol=0, atol=1e-9)
    assert columns.keypoints is not None
    assert columns.keypoints[2] is None
    assert read(*content)[0].unlabeled == ("a/耳.jpg", "b.jpg"), "predictions are no labels"


def test_a_prediction_has_the_fields_that_label_studio_imports(tmp_path: Path) -> None:
    points = Keypoints(("lobe", "top"), np.array([[64.0, 48.0, 2], [0, 0, 0]]))
    columns = Columns(["a.jpg"], np.array([PIXELS], dtype=float), keypoints=[points])
    write_label_studio(tmp_path / "x.json", columns, [(640, 480)], [0.5])
    (written,) = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    (prediction,) = written["predictions"]
    assert written["data"] == {"image": "a.jpg"}
    assert (prediction["model_version"], prediction["score"]) == ("ear", 0.5)
    rectangle, dot = prediction["result"]
    assert rectangle["value"] == BOX
    assert (rectangle["type"], rectangle["from_name"], rectangle["to_name"]) == ("rectanglelabels", "label", "image")
    assert (dot["type"], dot["from_name"], dot["parentID"]) == ("keypointlabels", "keypoints", rectangle["id"])
    assert dot["value"] == {"x": 10, "y": 10, "width": 0.5, "keypointlabels": ["lobe"]}


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file")
    with pytest.raises(RunError, match="cannot be written"):
        write_label_studio(tmp_path / "c/x.json", Columns(["a.jpg"], np.ones((1, 4))), [(6, 4)])
