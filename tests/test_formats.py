"""Annotation files as real tools write them, the open manifest, and files that are broken or hostile."""

import csv
import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from earcli.data.formats.coco import read_coco
from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.formats.pts import read_pts
from earcli.data.manifest import read_manifest, write_columns
from earcli.errors import ManifestError
from earcli.files import escape_formula, unescape_formula

# what Roboflow exports: key points as COCO JSON, with a category 0 that nothing uses
ROBOFLOW_COCO = {
    "info": {"year": "2024", "version": "1", "description": "Exported from roboflow.com"},
    "licenses": [{"id": 1, "url": "https://creativecommons.org/licenses/by/4.0/", "name": "CC BY 4.0"}],
    "categories": [
        {"id": 0, "name": "ears", "supercategory": "none"},
        {"id": 1, "name": "ear", "supercategory": "ears", "keypoints": ["top", "tragus", "lobe"], "skeleton": [[1, 2]]},
    ],
    "images": [{"id": 0, "license": 1, "file_name": "a.jpg", "height": 427, "width": 640, "date_captured": "2024"}],
    "annotations": [
        {"id": 0, "image_id": 0, "category_id": 1, "bbox": [273.1, 59.54, 165.52, 279.08], "area": 46193.3,
         "segmentation": [], "iscrowd": 0, "keypoints": [310.34, 75, 2, 300, 200.5, 1, 0, 0, 0]},
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [10, 20, 30, 40], "area": 1200, "iscrowd": 0},
    ],
}  # fmt: skip

ROBOFLOW_CSV = """filename,width,height,class,xmin,ymin,xmax,ymax
a.jpg,640,427,ear,273,59,439,339
b.jpg,640,427,ear,1,2,31,62
"""

# the form of the iBUG group's ear and face sets
PTS = """version: 1
n_points:  3
{
118.000000 209.500000
1.0 1.0
120.25 300
}
"""


def ignore(message: str) -> None:
    raise AssertionError(message)


def saved(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_coco_gives_a_sample_an_annotation_with_boxes_and_key_points(tmp_path: Path) -> None:
    manifest = read_manifest(saved(tmp_path / "_annotations.coco.json", ROBOFLOW_COCO))
    assert manifest.paths == ["a.jpg", "a.jpg"]
    assert manifest.boxes.tolist() == [[273.1, 59.54, 165.52, 279.08], [10, 20, 30, 40]]
    assert manifest.keypoints is not None
    assert manifest.keypoints[1] is None
    points = manifest.keypoints[0]
    assert points is not None
    assert points.names == ("top", "tragus", "lobe")
    assert points.labeled().tolist() == [[310.34, 75], [300, 200.5]]


def test_a_csv_of_corners_gives_sizes_and_does_not_take_the_pictures_size_for_the_box(tmp_path: Path) -> None:
    manifest = read_manifest(saved(tmp_path / "_annotations.csv", ROBOFLOW_CSV))
    assert manifest.paths == ["a.jpg", "b.jpg"]
    assert manifest.boxes.tolist() == [[273, 59, 166, 280], [1, 2, 30, 60]]


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("image_path,x,y,w,h\na.jpg,1,2,3,4\n", [[1, 2, 3, 4]]),
        ("\ufeffImage_Path;X;Y;W;H\r\na.jpg;1;2;3;4\r\n", [[1, 2, 3, 4]]),  # as Excel saves it in Europe
        ("image_path\tx\ty\twidth\theight\na.jpg\t1\t2\t3\t4\n\n", [[1, 2, 3, 4]]),
        ("filename\na.jpg\n", [[np.nan] * 4]),
        ("image_path,x,y,w,h\na.jpg,,,,\n", [[np.nan] * 4]),
        ("image_path,x,y,w,h\na.jpg,nan,2,3,4\n", [[np.inf, 2, 3, 4]]),  # not "no box"
    ],
)
def test_csv_in_the_forms_that_programs_save(tmp_path: Path, text: str, boxes: Any) -> None:
    manifest = read_manifest(saved(tmp_path / "m.csv", text))
    assert manifest.paths == ["a.jpg"]
    np.testing.assert_array_equal(manifest.boxes, boxes)


def test_pts_counts_pixels_from_one(tmp_path: Path) -> None:
    points = read_pts(saved(tmp_path / "a.pts", PTS))
    assert points.points.tolist() == [[117, 208.5, 2], [0, 0, 2], [119.25, 299, 2]]
    assert points.names == ("1", "2", "3")


NAMES = ["plain.jpg", "=cmd|' /C calc'!A0.jpg", "+1.jpg", "-x/y.jpg", "@SUM(A1)", "'quoted'.jpg", "'=x", "''", "-5",
         "a,b.jpg", 'say "ear".jpg', " leading", "耳/أذن/אוזן/👂.jpg", "line\nbreak.jpg", "tab\t.jpg", "\tx", "＝1",
         "bytes\udcff.jpg", "../up.jpg", "a\\b.jpg"]  # fmt: skip


def columns() -> Columns:
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 500, (len(NAMES), 4))
    boxes[3] = np.nan
    boxes[4] = [-0.1, 1e-7, 0.1 + 0.2, 1e6]
    points = Keypoints(("a", "b", "c"), np.array([[1.5, 2.25, 2], [3, 4, 1], [0, 0, 0]]))
    keypoints = [points, None] * (len(NAMES) // 2)
    sums = [f"{row:064x}" for row in range(len(NAMES))]
    return Columns(NAMES, boxes, list(reversed(NAMES)), keypoints=keypoints, checksums=sums, sources=NAMES)


@pytest.mark.parametrize("kind", [".csv", ".npy", ".coco.json"])
def test_every_manifest_reads_back_what_was_written(tmp_path: Path, kind: str) -> None:
    written = columns()
    path = tmp_path / f"m{kind}"
    write_columns(path, written, [(640, 480)] * len(NAMES))
    read = read_manifest(path)
    assert read.paths == NAMES
    assert read.subjects == list(reversed(NAMES))
    if kind == ".coco.json":
        written.boxes[3] = [0, 0, 640, 480]  # COCO has no "all of it"
        assert read.keypoints is not None
        for one, two in zip(read.keypoints, written.keypoints or [], strict=True):
            assert (one is None) == (two is None)
            if one and two:
                assert one.names == two.names
                np.testing.assert_array_equal(one.points, two.points)
    np.testing.assert_array_equal(read.boxes, written.boxes)
    if kind != ".npy":
        assert (read.checksums, read.sources) == (written.checksums, NAMES)


def test_a_table_of_paths_and_boxes_alone_has_all_its_rows(tmp_path: Path) -> None:
    write_columns(tmp_path / "m.csv", Columns(["a.png", "b.png"], np.full((2, 4), np.nan)), [])
    assert read_manifest(tmp_path / "m.csv").paths == ["a.png", "b.png"]


def test_no_cell_that_is_written_is_a_formula(tmp_path: Path) -> None:
    write_columns(tmp_path / "m.csv", columns(), [])
    with (tmp_path / "m.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for row in csv.reader(file):
            for cell in row:
                number = cell.lstrip("+-").replace(".", "").replace("e-", "").isdecimal()
                assert number or not cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝")), cell


def test_guarding_a_cell_can_always_be_undone() -> None:
    rng = np.random.default_rng(0)
    letters = list("'=+-@\t\r1 a" + string.ascii_letters[:3])
    for _ in range(2000):
        text = "".join(rng.choice(letters, rng.integers(0, 5)))
        assert unescape_formula(escape_formula(text)) == text


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("m.json", '{"images": [\n{]', ["line 2: not JSON"]),
        ("m.json", "[" * 100_000, ["is not JSON"]),
        ("m.json", [1], ["not in COCO's form"]),
        ("m.json", {"images": 3, "annotations": []}, ["not in COCO's form"]),
        ("m.json", {"images": [], "annotations": [5]}, ["annotations[0]: 5 is not an object"]),
        ("m.json", {"images": [], "annotations": [{"image_id": [1]}]}, ["annotations[0]: image_id [1]"]),
        ("m.json", {"images": [], "annotations": []}, ["is empty"]),
        ("m.csv", "name,x\na,1\n", ["line 1 has the columns name, x", "expected image_path or filename"]),
        ("m.csv", "", ["line 1 has the columns nothing"]),
        ("m.csv", "filename,x,y,w,h\na.jpg,1,2,3\n", ["line 2: 4 cells, but the header has 5"]),
        ("m.csv", "filename,x,y,w,h\na.jpg,1,2,3,4\nb.jpg,1,two,3,4\n", ["line 3: the box is '1', 'two'"]),
        ("m.csv", "filename,x,y,w,h\na.jpg,1,,3,4\n", ["line 2: the box is '1', ''"]),
        ("m.csv", "filename,x,y,w,h\n,1,2,3,4\n", ["line 2: no picture is named"]),
        ("m.csv", 'filename\n"a.jpg\n', ["not CSV"]),
        ("m.csv", "filename\n" + "x" * 200_000 + "\n", ["line 2: not CSV (field larger"]),
        ("m.txt", "a.jpg", ["is not a manifest by its name", ".npy, .csv, .json"]),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, name: str, content: Any, parts: list[str]) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(saved(tmp_path / name, content))
    for part in [name, *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [1, 2, 3]}, "bbox is [1, 2, 3], expected [x, y, width, height]"),
        ({"bbox": None}, "bbox is None, expected a list of numbers"),
        ({"bbox": ["1", 2, 3, 4]}, "expected a list of numbers"),
        ({"bbox": [10**400, 2, 3, 4]}, "expected a list of numbers"),
        ({"keypoints": [1, 2]}, "keypoints has 2 numbers"),
        ({"keypoints": [1, 2, 2]}, "keypoints has 1 points, but the category names 3"),
        ({"keypoints": [1, 2, float("nan")] * 3}, "not all finite"),
        ({"image_id": 9}, "image_id 9 is none of the images"),
    ],
)
def test_a_bad_annotation_is_refused_and_the_others_are_read(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    first, second = ROBOFLOW_COCO["annotations"]
    content = {**ROBOFLOW_COCO, "annotations": [{**second, **change}, first]}  # type: ignore[dict-item]
    refused: list[str] = []
    read = read_coco(saved(tmp_path / "m.json", content), refused.append)
    assert len(read.paths) == 1
    assert len(refused) == 1
    assert "m.json, annotations[0]: " in refused[0]
    assert message in refused[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1\nn_points: 2\n{\n1 2\n3\n}\n", "line 5: '3', expected x and y"),
        ("version: 1\nn_points: 2\n{\n1 2\n", "no points in braces"),
        ("version: 1\nn_points: 2\n{\n1 2\n}\n", "says n_points: 2, but has 1"),
        ("version: 1\nn_points: 1\n{\nnan 2\n}\n", "not finite"),
        ("", "no points in braces"),
    ],
)
def test_a_broken_pts_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=r"a\.pts") as caught:
        read_pts(saved(tmp_path / "a.pts", text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "size"), [("m.json", 257 << 20), ("m.csv", 2 << 30), ("m.npy", 2 << 30), ("a.pts", 2 << 20)]
)
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, name: str, size: int) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(size)  # sparse: takes no room
    with pytest.raises(ManifestError, match="over the limit"):
        read_pts(tmp_path / name) if name.endswith(".pts") else read_manifest(tmp_path / name)


def test_a_folder_or_nothing_in_place_of_a_manifest_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.csv").mkdir()
    for name, message in (("m.csv", "not a regular file"), ("no.json", "does not exist")):
        with pytest.raises(ManifestError, match=message):
            read_manifest(tmp_path / name)
