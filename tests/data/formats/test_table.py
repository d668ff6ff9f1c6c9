"""Tests of `earcli/data/formats/table.py`."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tables import columns, saved

from earcli.data.formats.columns import Columns
from earcli.data.manifest import read_manifest, write_columns

ROBOFLOW_CSV = """filename,width,height,class,xmin,ymin,xmax,ymax
a.jpg,640,427,ear,273,59,439,339
b.jpg,640,427,ear,1,2,31,62
"""


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


def test_a_row_of_via_with_too_few_cells_is_said(tmp_path: Path) -> None:
    head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    shape = '"{""name"":""rect"",""x"":1,""y"":2,""width"":3,""height"":4}"'
    refused: list[str] = []
    path = saved(tmp_path / "via.csv", f"{head}\na.png,1,{{}},1,0,{shape},{{}}\nb.png,1,{{}},1,0,{shape}\n")
    assert read_manifest(path, None, refused.append).paths == ["a.png"]
    assert refused == [f"{path}, line 3: 6 cells, but the header has 7"]
