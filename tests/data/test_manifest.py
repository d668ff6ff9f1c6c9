"""Manifests: what the original project writes is read, and nothing that a file holds is ever run."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import npy
from hostile_files import attacks

from earcli.data.manifest import Manifest, read_manifest, write_columns, write_manifest
from earcli.errors import ManifestError


def test_a_folder_is_a_person_only_when_asked(ears: Path) -> None:
    manifest = read_manifest(ears / "val_teacher.npy")
    assert manifest.with_subjects("column").subjects is None
    assert manifest.with_subjects("folder").subjects == ["images"] * 6
    assert manifest.with_subjects("folder").with_subjects("none").subjects is None


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../../etc/passwd", "a/../../x", "..\\x", "a\0.jpg", "C:\\key", "\\\\host\\key"]
)
@pytest.mark.parametrize("kind", [".csv", ".npy", ".coco.json"])
def test_a_name_that_leaves_its_folder_must_be_a_pictures(tmp_path: Path, name: str, kind: str) -> None:
    boxes = np.array([[1.0, 2, 3, 4]] * 4)
    names = [name, "../raw/a.JPG", "/raw/b.png", "folder/without ending"]
    write_columns(tmp_path / f"m{kind}", Manifest(names, boxes), [(9, 9)] * 4)
    refused: list[str] = []
    assert read_manifest(tmp_path / f"m{kind}", on_bad_row=refused.append).paths == names[1:]
    assert len(refused) == 1
    with pytest.raises(ManifestError, match=r"leaves its folder|is not a valid file name"):
        read_manifest(tmp_path / f"m{kind}")


@pytest.mark.parametrize("kind", [".csv", ".coco.json"])
def test_a_name_that_cannot_be_written_is_refused_before_anything_is_done(tmp_path: Path, kind: str) -> None:
    (tmp_path / "m.coco.json").write_text(
        json.dumps(
            {"images": [{"id": 0, "file_name": "\ud800.jpg"}], "annotations": [{"image_id": 0, "bbox": [1, 2, 3, 4]}]}
        )
    )
    with pytest.raises(ManifestError, match="is not a valid file name"):
        read_manifest(tmp_path / "m.coco.json")


def save(path: Path, content: Any) -> Path:
    np.save(path, content, allow_pickle=True)
    return path


BOXES = [[1, 2, 3, 4], None, [0.5, 1.5, 2, 3]]


OBJECTS = np.empty(3, dtype=object)


OBJECTS[:] = [np.array([1, 2, 3, 4]), None, (0.5, 1.5, 2, 3)]


@pytest.mark.parametrize("paths", [["a.jpg", "b.jpg", "c.jpg"], np.array(["a.jpg", "b.jpg", "c.jpg"]),
                                   np.array(["a.jpg", "b.jpg", "c.jpg"], dtype=object)])  # fmt: skip
@pytest.mark.parametrize("boxes", [BOXES, OBJECTS])
def test_lists_and_arrays_of_any_kind_are_read(tmp_path: Path, paths: Any, boxes: Any) -> None:
    manifest = read_manifest(save(tmp_path / "m.npy", {"image_paths": paths, "bboxes": boxes}))
    assert manifest.paths == ["a.jpg", "b.jpg", "c.jpg"]
    np.testing.assert_array_equal(manifest.boxes, [[1, 2, 3, 4], [np.nan] * 4, [0.5, 1.5, 2, 3]])
    assert manifest.locate(1) == tmp_path / "b.jpg"
    assert manifest.subject_numbers().tolist() == [-1, -1, -1]


def test_boxes_as_one_numeric_array_and_subjects(tmp_path: Path) -> None:
    content = {"image_paths": ["a", "b"], "bboxes": np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), "subjects": ["x", "x"]}
    manifest = read_manifest(save(tmp_path / "m.npy", content), tmp_path)
    assert manifest.boxes[1].tolist() == [5, 6, 7, 8]
    assert manifest.subject_numbers().tolist() == [0, 0]


def test_what_we_write_the_original_code_reads(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.npy", ["a.jpg", "b.jpg"], [[1, 2, 3, 4], None])
    content = np.load(tmp_path / "m.npy", allow_pickle=True).item()
    assert content["image_paths"].tolist() == ["a.jpg", "b.jpg"]
    assert content["bboxes"].tolist() == [[1, 2, 3, 4], None]
    assert read_manifest(tmp_path / "m.npy").paths == ["a.jpg", "b.jpg"]


def test_the_real_manifest_is_read(real_ears: Path) -> None:
    manifest = read_manifest(real_ears / "val_teacher.npy")
    assert len(manifest) == 2597
    assert manifest.locate(0).is_file()


def test_a_limit_is_drawn_by_the_seed_and_keeps_the_order(tmp_path: Path) -> None:
    manifest = read_manifest(save(tmp_path / "m.npy", {"image_paths": list("abcdefgh"), "bboxes": [None] * 8}))
    first = manifest.limit(3, 0).paths
    assert first == sorted(first)
    assert first == manifest.limit(3, 0).paths
    assert any(first != manifest.limit(3, seed).paths for seed in range(1, 5))


GOOD = {"image_paths": ["a"], "bboxes": [None]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["a"], "holds an array of"),
        ({"image_paths": ["a"]}, "has no 'bboxes' (it has image_paths)"),
        ({"bboxes": [None]}, "has no 'image_paths'"),
        ({"image_paths": ["a", "b"], "bboxes": [None]}, "has 2 image_paths but 1 bboxes"),
        ({**GOOD, "subjects": ["x", "y"]}, "has 1 image_paths but 2 subjects"),
        ({"image_paths": [], "bboxes": []}, "is empty"),
        ({"image_paths": "a", "bboxes": [None]}, "image_paths is a str, expected a list or an array"),
        ({"image_paths": [3], "bboxes": [None]}, "image_paths holds 3, expected file names"),
        ({"image_paths": ["a"], "bboxes": [[1, 2, 3]]}, "bboxes[0] is [1, 2, 3], expected [x, y, width, height]"),
        ({"image_paths": ["a"], "bboxes": ["box"]}, "bboxes[0] is 'box'"),
    ],
)
def test_a_manifest_of_the_wrong_form_says_what_is_wrong(tmp_path: Path, content: Any, message: str) -> None:
    path = save(tmp_path / "m.npy", content)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert message in str(caught.value)
    assert "m.npy" in str(caught.value)


def test_a_missing_manifest_and_a_wrong_root_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no.npy does not exist. Give a .npy, .csv or COCO .json manifest"):
        read_manifest(tmp_path / "no.npy")
    path = save(tmp_path / "m.npy", GOOD)
    with pytest.raises(ManifestError, match=r"nowhere is not a folder; the paths in .*m.npy are relative to it"):
        read_manifest(path, tmp_path / "nowhere")


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("attack", attacks(Path("pwned")))
def test_a_manifest_that_carries_code_is_refused_and_runs_nothing(tmp_path: Path, attack: str, protocol: int) -> None:
    target = tmp_path / "pwned"
    path = tmp_path / "m.npy"
    path.write_bytes(npy(pickle.dumps(attacks(target)[attack], protocol)))
    with pytest.raises(ManifestError, match="none of it was run"):
        read_manifest(path)
    assert not target.exists()


@pytest.mark.parametrize("keep", [0, 5, 60, 130, -3])
def test_a_damaged_manifest_is_an_error_not_a_crash(tmp_path: Path, keep: int) -> None:
    path = save(tmp_path / "m.npy", GOOD)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ManifestError, match="is damaged"):
        read_manifest(path)
