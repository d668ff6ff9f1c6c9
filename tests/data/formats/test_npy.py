"""Tests of `earcli/data/formats/npy.py`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import Call

from earcli.data.formats.columns import Columns
from earcli.data.formats.npy import read_npy, write_npy
from earcli.errors import ManifestError


def saved(folder: Path, content: Any) -> Path:
    path = folder / "m.npy"
    np.save(path, content, allow_pickle=True)
    return path


def refuse(message: str) -> None:
    pytest.fail(message)


def test_every_column_is_read_whether_lists_or_arrays(tmp_path: Path) -> None:
    content = {
        "image_paths": np.array(["a.jpg", "b.jpg", "c.jpg"]),
        "bboxes": [None, (1, 2, 3, 4), np.array([0.5, 1, 2, 3], np.float32)],
        "subjects": ["kim", None, 7],
        "keypoints": [[[1, 2], [3, 4]], None, np.array([[5.0, 6, 1]])],
    }
    read = read_npy(saved(tmp_path, content), refuse)
    assert read.paths == ["a.jpg", "b.jpg", "c.jpg"]
    np.testing.assert_array_equal(read.boxes, [[np.nan] * 4, [1, 2, 3, 4], [0.5, 1, 2, 3]])
    assert read.subjects == ["kim", "", "7"]
    assert read.keypoints is not None
    first, second, third = read.keypoints
    assert first is not None
    assert third is not None
    assert (first.names, first.points.tolist()) == (("1", "2"), [[1, 2, 2], [3, 4, 2]])
    assert second is None
    assert third.points.tolist() == [[5, 6, 1]]


def test_what_is_written_is_what_numpy_reads(tmp_path: Path) -> None:
    path = tmp_path / "m.npy"
    write_npy(path, Columns(["a.jpg", "b.jpg"], np.array([[1.5, 2, 3, 4], [np.nan] * 4]), ["kim", ""]))
    content = np.load(path, allow_pickle=True).item()
    assert content.keys() == {"image_paths", "bboxes", "subjects"}
    assert content["image_paths"].tolist() == ["a.jpg", "b.jpg"]
    assert content["bboxes"].tolist() == [[1.5, 2, 3, 4], None]
    assert content["subjects"].tolist() == ["kim", ""]


def test_a_row_that_cannot_be_used_is_reported_and_left_out(tmp_path: Path) -> None:
    content = {
        "image_paths": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
        "bboxes": [[1, 2, 3], [1, 2, 3, 4], "whole", [5, 6, 7, float("nan")]],
        "keypoints": [None, [[1, float("inf")]], None, None],
    }
    messages: list[str] = []
    read = read_npy(saved(tmp_path, content), messages.append)
    assert read.paths == ["d.jpg"]
    assert read.boxes.tolist() == [[5, 6, 7, float("inf")]], "NaN would mean the whole image"
    assert [message.split(": ")[1].split(",")[0] for message in messages] == [
        "bboxes[0] is [1",
        "bboxes[2] is 'whole'",
        "keypoints[1] is [[1",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds an array of int64, expected a dict"),
        ({"image_paths": ["a.jpg"]}, r"has no 'bboxes' \(it has image_paths\)"),
        ({"image_paths": ["a.jpg"], "bboxes": [None, None]}, "has 1 image_paths but 2 bboxes"),
        ({"image_paths": ["a.jpg", 5], "bboxes": [None, None]}, "image_paths holds 5, expected file names"),
        ({"image_paths": "a.jpg", "bboxes": [None]}, "image_paths is a str, expected a list or an array"),
        ({"image_paths": ["a.jpg"], "bboxes": [None], "subjects": [["kim"]]}, r"subjects holds \['kim'\]"),
    ],
)
def test_a_file_with_wrong_columns_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_npy(saved(tmp_path, content), refuse)


def test_code_is_named_and_not_run_and_a_damaged_file_is_refused(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    path = saved(tmp_path, {"image_paths": ["a.jpg"], "bboxes": [Call(open, str(touched), "w")]})
    with pytest.raises(ManifestError, match=r"m\.npy carries \w+\.open, and none of it was run"):
        read_npy(path, refuse)
    assert not touched.exists()
    path = saved(tmp_path, {"image_paths": ["a.jpg"], "bboxes": [None]})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ManifestError, match=r"is not a \.npy manifest, or is damaged"):
        read_npy(path, refuse)
