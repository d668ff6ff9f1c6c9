"""Tests of `earcli/data/formats/tps.py`."""

from pathlib import Path

import numpy as np
import pytest

from earcli.data.formats.columns import Columns
from earcli.data.formats.tps import read_tps
from earcli.errors import ManifestError

GOOD = "LM=1\n5.50000 6.25000\nIMAGE=good.jpg\nID=9\n"


def read(tmp_path: Path, text: str | bytes) -> tuple[Columns, list[str]]:
    path = tmp_path / "x.tps"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused: list[str] = []
    return read_tps(path, lambda reason: refused.append(reason.replace(str(path), "x.tps"))), refused


def points_of(columns: Columns, row: int) -> list[list[float]]:
    points = columns.keypoints[row] if columns.keypoints else None
    assert points is not None
    values: list[list[float]] = points.points.tolist()
    return values


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_blocks_are_ears_whose_y_counts_from_the_lower_edge(tmp_path: Path, newline: str, mark: str) -> None:
    text = (
        "LM=2\n1013.00000 1412.50000\n0.1 0.30000000000000004\nIMAGE=a b.jpg\nID=0\nSCALE=0.012345\n"
        "LM=2\n3 4\n5 6\nCURVES=1\nPOINTS=2\n7 8\n9 10\nIMAGE=c.jpg\nID=1\nCOMMENT=LM=7\n"
        "LM=0\nIMAGE=d.jpg\nID=2\n"
    )
    columns, refused = read(tmp_path, mark + text.replace("\n", newline))
    assert refused == []
    assert columns.from_bottom
    assert columns.paths == ["a b.jpg", "c.jpg"]
    assert np.isnan(columns.boxes).all()
    assert points_of(columns, 0) == [[1013, 1412.5, 2], [0.1, 0.30000000000000004, 2]]
    assert points_of(columns, 1) == [[3, 4, 2], [5, 6, 2]]
    assert (columns.unlabeled, columns.empty) == (("d.jpg",), ())


@pytest.mark.parametrize("missing", ["NA NA", "na na", "-1 -1", "-1.00000 -1.00000"])
def test_missing_landmarks_are_not_labeled(tmp_path: Path, missing: str) -> None:
    columns, refused = read(tmp_path, f"LM=2\n{missing}\n3 4\nIMAGE=a.jpg\nLM=1\n{missing}\nIMAGE=b.jpg\n")
    assert refused == []
    assert points_of(columns, 0) == [[0, 0, 0], [3, 4, 2]]
    assert (columns.paths, columns.unlabeled) == (["a.jpg"], ("b.jpg",))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("LM=x\n1 2\nIMAGE=a.jpg\n", "'LM=x', expected LM="),
        ("LM=-1\nIMAGE=a.jpg\n", "'LM=-1', expected LM="),
        ("LM3=1\n1 2 3\nIMAGE=a.jpg\n", "'LM3=1', expected LM="),
        ("LM=2\n1 2\nIMAGE=a.jpg\n", "'IMAGE=a.jpg', expected x and y"),
        ("LM=1\n1 2\n3 4\nIMAGE=a.jpg\n", "'3 4' is one line too many"),
        ("LM=1\n1,5 2,5\nIMAGE=a.jpg\n", "'1,5'"),
        ("LM=1\n1 nan\nIMAGE=a.jpg\n", "'nan'"),
        ("LM=1\n1 1e300\nIMAGE=a.jpg\n", "'1e300'"),
        ("LM=1\n1 2 3\nIMAGE=a.jpg\n", "expected x and y"),
        ("LM=1\n1 2\nID=4\n", "names no IMAGE"),
        ("LM=1\n1 2\nIMAGE=\n", "names no IMAGE"),
        ("LM=1\n1 2\nIMAGE=a.jpg\nIMAGE=b.jpg\n", "names 2 IMAGE"),
        ("LM=0\nCURVES=1\nPOINTS=2\n7 8\n9 10\nIMAGE=a.jpg\n", "curves alone"),
        ("LM=9" + "9" * 20 + "\n1 2\nIMAGE=a.jpg\n", "'IMAGE=a.jpg'"),
        pytest.param("LM=" + "9" * 5000 + "\n1 2\nIMAGE=a.jpg\n", "", id="huge"),
    ],
)
def test_a_bad_block_is_refused_and_the_others_are_read(tmp_path: Path, bad: str, message: str) -> None:
    columns, refused = read(tmp_path, bad + GOOD)
    assert columns.paths == ["good.jpg"]
    assert len(refused) == 1
    assert refused[0].startswith("x.tps, line 1: ")
    assert message in refused[0]


@pytest.mark.parametrize("where", ["first", "second"])
def test_a_block_whose_head_is_damaged_is_not_lost_silently(tmp_path: Path, where: str) -> None:
    damaged = "M=1\n1 2\nIMAGE=a.jpg\n"
    columns, refused = read(tmp_path, damaged + GOOD if where == "first" else GOOD + damaged)
    assert len(refused) == 1
    assert columns.paths == (["good.jpg"] if where == "first" else [])


def test_a_name_in_another_encoding_keeps_its_bytes(tmp_path: Path) -> None:
    columns, refused = read(tmp_path, b"LM=1\n1 2\nIMAGE=\xe4.jpg\n")
    assert (columns.paths, refused) == (["\udce4.jpg"], [])


def test_a_file_without_blocks_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"has no line LM="):
        read(tmp_path, "hello\n")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_tps(tmp_path / "gone.tps", lambda reason: None)
