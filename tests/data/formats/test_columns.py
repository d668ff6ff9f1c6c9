"""Annotation files as real tools write them, the open manifest, and files that are broken or hostile."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tables import NAMES, columns, saved

from earcli.data.formats.columns import Keypoints
from earcli.data.formats.pts import read_pts
from earcli.data.manifest import read_manifest, write_columns
from earcli.errors import ManifestError


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


@pytest.mark.parametrize("kind", [".csv", ".npy", ".coco.json"])
def test_sides_are_read_back_and_other_words_refused(tmp_path: Path, kind: str) -> None:
    sides = ["left", "right", ""] + ["left"] * (len(NAMES) - 3)
    path, sizes = tmp_path / f"m{kind}", [(640, 480)] * len(NAMES)
    write_columns(path, replace(columns(), sides=sides), sizes)
    assert read_manifest(path).side_numbers().tolist() == [1, -1, 0] + [1] * (len(NAMES) - 3)
    write_columns(path, replace(columns(), sides=["front", *sides[1:]]), sizes)
    with pytest.raises(ManifestError, match="side is 'front', expected left, right or nothing"):
        read_manifest(path)


def test_the_side_in_the_name_of_a_category_counts(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.csv", "filename,class,side\na.jpg,Left_Ear,\nb.jpg,Left_Ear,R\nc.jpg,Left_Ear,l\n")
    assert read_manifest(path).side_numbers().tolist() == [1, -1, 1]
    assert read_manifest(saved(tmp_path / "n.csv", "filename,class\na.jpg,bright\n")).side_numbers().tolist() == [0]


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("m.json", '{"images": [\n{]', ["line 2: not JSON"]),
        ("m.json", "[" * 100_000, ["is not JSON"]),
        ("m.json", [1], ["in no format of annotations that ear reads", "COCO"]),
        ("m.json", {"images": 3, "annotations": []}, ["in no format of annotations that ear reads", "COCO"]),
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
        ("m.txt", "a.jpg", ["is not an annotation file by its name", ".npy, .csv"]),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, name: str, content: Any, parts: list[str]) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(saved(tmp_path / name, content))
    for part in [name, *parts]:
        assert part in str(caught.value)


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


def test_key_points_make_a_box_where_there_is_none() -> None:
    points = Keypoints(("1", "2"), np.array([[10.0, 20.0, 2], [30.0, 60.0, 2]]))
    assert points.box().tolist() == [8, 16, 24, 48]
    assert np.isnan(Keypoints(("1",), np.zeros((1, 3))).box()).all()
