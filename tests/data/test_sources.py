"""Tests of `earcli/curation/sources.py`."""

import csv
import os
import shutil
from pathlib import Path

import pytest
from raw import NO_SUBJECTS, coco, fill, picture
from running import ear

from earcli.data.manifest import read_manifest
from earcli.data.sources import collect_samples


def test_a_picture_that_is_not_beside_its_annotation_is_found_by_its_name(tmp_path: Path) -> None:
    fill(tmp_path / "images" / "a", 2)
    fill(tmp_path / "images" / "b", 1)  # a second 000.png
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "x.coco.json").write_text(coco(["a\\001.png", "000.png", "zzz.png"], [[1, 2, 30, 40]] * 3))
    contents = collect_samples([tmp_path], NO_SUBJECTS)
    assert {s.path for s in contents.samples if s.box == (1, 2, 30, 40)} == {str(tmp_path / "images" / "a" / "001.png")}
    assert {item.path: item.reason for item in contents.left_out[:2]} == {
        "000.png": "not at that path, and 2 images have that name",
        "zzz.png": "no such file",
    }
    assert contents.left_out[2].path.endswith("images/a/000.png")  # beside one that is labeled


@pytest.mark.parametrize("name", ["../secret.png", "{outside}/secret.png", "a/../../secret.png"])
def test_a_path_that_leaves_the_source_through_an_annotation_is_refused(tmp_path: Path, name: str) -> None:
    fill(tmp_path / "raw", 2)
    shutil.copy(tmp_path / "raw" / "000.png", tmp_path / "secret.png")
    path = name.format(outside=tmp_path)
    (tmp_path / "raw" / "_annotations.csv").write_text(f"image_path\n{path}\n001.png\n000.png\n")
    contents = collect_samples([tmp_path / "raw"], NO_SUBJECTS)
    assert [s.label for s in contents.samples] == ["raw/001.png", "raw/000.png"]
    assert contents.left_out[0].path == path
    assert "the path leaves" in contents.left_out[0].reason
    allowed = collect_samples([tmp_path / "raw"], NO_SUBJECTS, tmp_path)
    assert ("secret.png" in {Path(s.path).name for s in allowed.samples}) == name.startswith("{")


def test_cyclic_links_names_in_any_script_and_hidden_files(tmp_path: Path) -> None:
    raw = tmp_path / 'my "raw" ears'
    for number, name in enumerate(["耳 朵.png", "أذن.png", "it's.png", "=1+1.png", os.fsdecode(b"\xff.png"), ".x.png"]):
        (raw / "sub").mkdir(parents=True, exist_ok=True)
        picture(number).save(raw / "sub" / name)
    (raw / "sub" / "loop").symlink_to(raw)
    (raw / "loop").symlink_to(raw / "sub")
    (raw / "nowhere.png").symlink_to(raw / "not-there.png")
    result = ear("prepare", raw, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    rows = [read_manifest(tmp_path / "out" / f"{part}_teacher{kind}") for part in ("train", "val") for kind in
            (".npy", ".csv")]  # fmt: skip
    assert len(rows[0]) + len(rows[2]) == 5
    for npy, table in (rows[:2], rows[2:]):
        assert npy.paths == table.paths
        assert all(npy.locate(i).is_file() for i in range(len(npy)))
    with (tmp_path / "out" / "left_out.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [['my "raw" ears/nowhere.png', 'my "raw" ears', "no such file"]]
