"""Tests of `earcli/data/formats/via.py`."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from earcli.data.formats.columns import Columns
from earcli.data.formats.via import is_via, is_via_table, read_via, read_via_table
from earcli.errors import ManifestError

RECT = {"name": "rect", "x": 10, "y": 20, "width": 30, "height": 40}
HEADER = ("filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes")


def region(shape: Any, **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def export(regions: Any, name: Any = "a.jpg") -> dict[str, Any]:
    """What VIA 2 exports as JSON."""
    return {f"{name}123": {"filename": name, "size": 123, "regions": regions, "file_attributes": {}}}


def project(*regions: Any) -> dict[str, Any]:
    """What VIA 2.0.12 saves as a project."""
    settings = {"ui": {}, "core": {"buffer_size": 18, "filepath": {}, "default_filepath": ""}, "project": {"name": "x"}}
    attributes = {"region": {"name": {"type": "text", "description": "", "default_value": ""}}, "file": {}}
    return {
        "_via_settings": settings,
        "_via_img_metadata": export(list(regions)),
        "_via_attributes": attributes,
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": ["a.jpg123"],
    }


def read(content: Any) -> tuple[Columns, list[str]]:
    refused: list[str] = []
    return read_via(content, Path("x.json"), refused.append), refused


def row(shape: Any, attributes: Any = None, name: str = "a.jpg", first: str = "filename") -> dict[str, str]:
    cells = [name, "123", "{}", "1", "0", shape if isinstance(shape, str) else json.dumps(shape)]
    label = attributes if isinstance(attributes, str) else json.dumps(attributes or {})
    return dict(zip((first, *HEADER[1:]), cells, strict=True)) | {"region_attributes": label}


def read_table(*rows: dict[str, str]) -> tuple[Columns, list[str]]:
    refused: list[str] = []
    return read_via_table(enumerate(rows, 2), Path("x.csv"), refused.append), refused


def test_rectangles_circles_ellipses_and_polygons_are_ears() -> None:
    polygon = {"name": "polygon", "all_points_x": [1.5, 9, 4], "all_points_y": [2, 3, 8.5]}
    columns, refused = read(
        project(
            region(RECT, name="left ear"),
            region({"name": "circle", "cx": 50, "cy": 60, "r": 7.5}, name="ear"),
            region({"name": "ellipse", "cx": 50, "cy": 60, "rx": 3, "ry": 5, "theta": 0}, name="ear"),
            region({"name": "ellipse", "cx": 50, "cy": 60, "rx": 3, "ry": 5}, name="ear"),
            region({"name": "ellipse", "cx": 50, "cy": 60, "rx": 3, "ry": 5, "theta": math.pi / 2}, name="ear"),
            region(polygon, name="ear"),
        )
    )
    assert refused == []
    assert columns.paths == ["a.jpg"] * 6
    upright, turned = [47, 55, 6, 10], [45, 57, 10, 6]
    expected = [[10, 20, 30, 40], [42.5, 52.5, 15, 15], upright, upright, turned, [1.5, 2, 7.5, 6.5]]
    np.testing.assert_allclose(columns.boxes, expected, rtol=0, atol=1e-9)
    assert columns.categories == ["left ear", *["ear"] * 5]
    assert columns.sizes == [None] * 6


def test_points_belong_to_the_only_box_and_are_named_by_their_attributes() -> None:
    point = {"name": "point", "cx": 15, "cy": 25}
    columns, refused = read(project(region(RECT, type="ear"), region(point, name="lobe", type="soft")))
    assert refused == []
    assert columns.keypoints is not None
    assert columns.keypoints[0] is not None
    assert columns.keypoints[0].names == ("lobe",)
    assert columns.keypoints[0].points.tolist() == [[15, 25, 2]]


@pytest.mark.parametrize(
    ("attributes", "label"),
    [
        ({}, ""),
        ({"name": "ear"}, "ear"),
        ({"Label": "ear"}, "ear"),
        ({"side": "left", "class": "ear"}, "ear"),
        ({"anatomy": "ear"}, "ear"),
        ({"anatomy": "ear", "side": "left"}, ""),
        ({"type": {"ear": True}}, "ear"),
        ({"type": {"nose": False, "ear": True}}, "ear"),
        ({"type": {}}, ""),
        ({"name": 3}, "3"),
        ({"name": "", "type": "ear"}, "ear"),
    ],
)
def test_the_label_is_the_attribute_that_names_it(attributes: dict[str, Any], label: str) -> None:
    columns, refused = read(project(region(RECT, **attributes)))
    assert (columns.categories, refused) == ([label], [])


def test_pictures_without_regions_are_unlabeled() -> None:
    for regions in ([], {}):
        columns, refused = read({**export(regions), **export([region(RECT)], "b.jpg")})
        assert (columns.paths, columns.unlabeled, columns.empty, refused) == (["b.jpg"], ("a.jpg",), (), [])


def test_regions_of_the_first_version_are_an_object() -> None:
    content = {"a.jpg123": {"fileref": "", "size": 123, "filename": "a.jpg", "base64_img_data": ""}}
    content["a.jpg123"] |= {"file_attributes": {}, "regions": {"0": region(RECT), "1": region({**RECT, "x": 11})}}
    assert is_via(content)
    columns, refused = read(content)
    assert (columns.boxes[:, 0].tolist(), refused) == ([10, 11], [])


BAD_SHAPES = [
    (None, "None, expected an object"),
    ([], "[], expected an object"),
    ({"name": []}, "of the kind []"),
    ({"name": "polyline", "all_points_x": [1, 2, 3], "all_points_y": [1, 2, 3]}, "of the kind 'polyline'"),
    ({**RECT, "x": None}, "None"),
    ({**RECT, "x": float("nan")}, "nan"),
    ({**RECT, "y": 10**400}, "expected a number"),
    ({**RECT, "width": -3}, "width is -3.0, expected a positive number"),
    ({**RECT, "height": True}, "True"),
    ({"name": "circle", "cx": 1, "cy": 2, "r": -3}, "r is -3.0"),
    ({"name": "ellipse", "cx": 1, "cy": 2, "rx": 3}, "None"),
    ({"name": "ellipse", "cx": 1, "cy": 2, "rx": 3, "ry": 4, "theta": "x"}, "'x'"),
    ({"name": "point", "cx": 1}, "None"),
    ({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]}, "three or more"),
    ({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2, 3, 4]}, "three or more"),
    ({"name": "polygon", "all_points_x": 3}, "three or more"),
    ({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, {}, 3]}, "{}"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (3, "None, expected an object"),
        ({}, "None, expected an object"),
        (region(RECT, name=[1]), "the label [1]"),
        (region(RECT, name=10**5000), ""),
        *[(region(shape), message) for shape, message in BAD_SHAPES],
    ],
)
def test_a_bad_region_is_refused_and_the_others_are_read(bad: Any, message: str) -> None:
    columns, refused = read(project(bad, region(RECT)))
    assert columns.boxes.tolist() == [[10, 20, 30, 40]]
    assert len(refused) == 1
    assert refused[0].startswith("x.json, 'a.jpg', regions[0]: ")
    assert message in refused[0]


def test_a_picture_with_bad_regions_alone_is_unlabeled() -> None:
    for columns, refused in (read(project({})), read_table(row("{"))):
        assert (columns.unlabeled, columns.empty, len(refused)) == (("a.jpg",), (), 1)


@pytest.mark.parametrize("name", [None, "", 3, pytest.param(10**5000, id="huge"), ["a.jpg"], {}])
def test_a_picture_without_a_name_is_refused(name: Any) -> None:
    content = {"a": {"filename": name, "regions": [region(RECT)]}, **export([region(RECT)], "b.jpg")}
    columns, refused = read(content)
    assert (columns.paths, len(refused)) == (["b.jpg"], 1)
    assert refused[0].startswith("x.json: filename is ")


@pytest.mark.parametrize("regions", [None, 3, "text"])
def test_regions_that_are_no_list_are_refused(regions: Any) -> None:
    columns, refused = read(export(regions))
    assert (columns.paths, columns.unlabeled, len(refused)) == ([], ("a.jpg",), 1)


@pytest.mark.parametrize("first", ["filename", "#filename"])
def test_the_rows_of_a_table_are_regions(first: str) -> None:
    assert is_via_table([first, *HEADER[1:], "region_attributes"])
    columns, refused = read_table(
        row(RECT, {"name": "ear"}, first=first),
        row({"name": "point", "cx": 15, "cy": 25}, {"name": "lobe"}, first=first),
        row("{}", "{}", "b.jpg", first),
        row("", "", "c.jpg", first),
    )
    assert refused == []
    assert columns.boxes.tolist() == [[10, 20, 30, 40]]
    assert columns.categories == ["ear"]
    assert columns.keypoints is not None
    assert (columns.unlabeled, columns.empty) == (("b.jpg", "c.jpg"), ())


@pytest.mark.parametrize(
    ("shape", "attributes", "message"),
    [
        ("{", "{}", "not JSON"),
        (json.dumps(RECT), "{'name': 'ear'}", "not JSON"),
        pytest.param("[" * 100_000, "{}", "not JSON", id="deep"),
        pytest.param('{"name": "rect", "x": ' + "1" * 5000 + "}", "{}", "not JSON", id="huge"),
        ("[]", "{}", "expected an object"),
        ("null", "{}", "expected an object"),
        ("0", "{}", "expected an object"),
        *[(json.dumps(shape), "{}", message) for shape, message in BAD_SHAPES],
    ],
)
def test_a_bad_row_is_refused_and_the_others_are_read(shape: str, attributes: str, message: str) -> None:
    columns, refused = read_table(row(shape, attributes), row(RECT))
    assert columns.boxes.tolist() == [[10, 20, 30, 40]]
    assert len(refused) == 1
    assert refused[0].startswith("x.csv, line 2: ")
    assert message in refused[0]


def test_a_row_without_a_picture_is_refused() -> None:
    columns, refused = read_table(row(RECT, name=""), row(RECT))
    assert (len(columns.paths), len(refused)) == (1, 1)


def test_a_table_without_rows_is_one_line() -> None:
    with pytest.raises(ManifestError, match="it names no picture"):
        read_table()


@pytest.mark.parametrize(
    "header", [[], ["filename", "x", "y"], ["region_shape_attributes", "region_attributes"], ["filename", "region_id"]]
)
def test_other_tables_are_not_recognized(header: list[str]) -> None:
    assert not is_via_table(header)


@pytest.mark.parametrize(
    "content",
    [
        None, 3, "text", [], {}, [export([])], {"a": 3}, {"a": {"filename": "a.jpg"}}, {"_via_img_metadata": 3},
        {"images": [], "annotations": []}, {"shapes": [], "imagePath": "a"}, {**export([]), "b": []},
        [{"data": {"image": "a.jpg"}, "annotations": []}],
    ],
)  # fmt: skip
def test_other_json_is_not_recognized(content: Any) -> None:
    assert is_via(project())
    assert is_via(export([]))
    assert not is_via(content)
