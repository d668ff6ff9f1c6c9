"""Labels of every kind, and labels that cannot be right."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from earcli.data.labels import Labels, read_labels
from earcli.errors import DataError, LabelError, ManifestError

POINTS = [[10, 20, 2], [30, 40, 1], [50, 60, 2]]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number in range(10):
        Image.new("RGB", (80, 100), (number * 20, 0, 0)).save(tmp_path / f"{number}.png")
    return tmp_path


def coco(folder: Path, change: Callable[[dict[str, Any]], Any] = lambda content: None) -> Path:
    """Labels of ten pictures, changed in one place."""
    flat = [value for point in POINTS for value in point]
    content: dict[str, Any] = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(10)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [5, 5, 60, 80], "keypoints": flat} for n in range(10)
        ],
        "categories": [{"id": 1, "name": "ear", "keypoints": ["top", "tragus", "lobe"]}],
    }
    change(content)
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return path


def check(labels: Labels, count: int = 10) -> None:
    assert len(labels) == count
    assert labels.points.shape == (count, 3, 3)
    assert labels.points[0, :, :2].tolist() == [[10, 20], [30, 40], [50, 60]]
    assert labels.sizes[0].tolist() == [80, 100]
    assert labels.has_ear.all()


def test_coco_key_points(pictures: Path) -> None:
    labels = read_labels(coco(pictures))
    check(labels)
    assert labels.names == ("top", "tragus", "lobe")
    assert labels.points[0, :, 2].tolist() == [2, 1, 2]
    assert labels.manifest.boxes[0].tolist() == [5, 5, 60, 80]


@pytest.mark.parametrize("columns", [2, 3])
def test_the_original_projects_npy(pictures: Path, columns: int) -> None:
    points = np.array([POINTS] * 10, dtype=np.float64)[:, :, :columns]
    content = {"image_paths": [f"{n}.png" for n in range(10)], "bboxes": [[5, 5, 60, 80]] * 10, "keypoints": points}
    np.save(pictures / "labels.npy", content, allow_pickle=True)  # type: ignore[arg-type]
    labels = read_labels(pictures / "labels.npy")
    check(labels)
    assert labels.points[0, 1, 2] == (1 if columns == 3 else 2)


def test_a_folder_of_pts_gives_boxes_around_the_points(pictures: Path) -> None:
    lines = "\n".join(f"{x + 1} {y + 1}" for x, y, _ in POINTS)
    for number in range(10):
        (pictures / f"{number}.pts").write_text(f"version: 1\nn_points: 3\n{{\n{lines}\n}}\n")
    labels = read_labels(pictures)
    check(labels)
    assert labels.manifest.boxes[0].tolist() == [6, 16, 48, 48]


@pytest.mark.parametrize(
    ("header", "box"), [("filename,xmin,ymin,xmax,ymax", "5,5,65,85"), ("image_path,x,y,w,h", "5,5,60,80")]
)
def test_a_table_of_boxes_has_no_points(pictures: Path, header: str, box: str) -> None:
    (pictures / "labels.csv").write_text("\n".join([header, *(f"{n}.png,{box}" for n in range(10))]))
    labels = read_labels(pictures / "labels.csv")
    assert labels.points.shape == (10, 0, 3)
    assert labels.manifest.boxes[3].tolist() == [5, 5, 60, 80]


def test_a_picture_without_an_annotation_is_left_out_and_never_a_background(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "streets").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "streets" / "a.png")
    (tmp_path / "streets" / "b.png").write_text("no picture")
    path = coco(pictures, lambda c: c["annotations"].pop())
    labels = read_labels(path, backgrounds=tmp_path / "streets")
    assert labels.has_ear.tolist() == [True] * 9 + [False]
    assert [item.reason for item in labels.skipped] == ["no label in the file", "not a picture that Pillow can read"]
    few = labels.limit(3, seed=0)
    assert few.has_ear.tolist() == [True] * 3 + [False]
    assert few.manifest.paths != labels.limit(3, seed=1).manifest.paths


def lose_picture(content: dict[str, Any]) -> None:
    content["images"][3]["file_name"] = "gone.png"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["annotations"][3].update(keypoints=[1, 2, 2, 3, 4, 2]), "has 2 points, but the category names 3"),
        (lambda c: c["annotations"][3].update(keypoints=[1, 2, 2, 3, 400, 2, 5, 6, 2]), "point (3, 400) lies outside"),
        (lambda c: c["annotations"][3].update(keypoints=[1, 2, 2, 3, float("nan"), 2, 5, 6, 2]), "not all finite"),
        (lambda c: c["annotations"][3].update(category_id=7), "category_id 7 is none of the categories"),
        (lambda c: c["annotations"][3].update(bbox=[1, 1, -5, 5]), "empty"),
        (lambda c: c["annotations"][3].update(bbox=[200, 1, 5, 5]), "lies outside the picture"),
        (lambda c: c["annotations"][3].update(image_id=77), "image_id 77 is none of the images"),
        (lambda c: c["annotations"][3].update(image_id=[7]), "image_id [7] is none of the images"),
        (lose_picture, "no such file"),
    ],
)
def test_a_single_bad_label_is_left_out_with_its_reason(
    pictures: Path, change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    labels = read_labels(coco(pictures, change))
    assert labels.has_ear.tolist() == [True] * 9  # a picture that lost its only label is no background
    assert [item.reason for item in labels.skipped[1:]] in ([], ["no label in the file"])
    assert reason in labels.skipped[0].reason


def test_a_box_is_cut_at_the_picture(pictures: Path) -> None:
    labels = read_labels(coco(pictures, lambda c: c["annotations"][0].update(bbox=[-10, 30, 60, 1e300])))
    assert labels.manifest.boxes[0].tolist() == [0, 30, 50, 70]


def test_subjects_stay_beside_pictures_without_an_ear(pictures: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for annotation in content["annotations"]:
            annotation["subject"] = "kim"

    (pictures / "streets").mkdir()
    Image.new("RGB", (40, 40)).save(pictures / "streets" / "a.png")
    labels = read_labels(coco(pictures, change), backgrounds=pictures / "streets")
    assert labels.manifest.subjects == ["kim"] * 10 + [""]


def test_a_picture_that_is_labeled_and_a_background_is_refused(pictures: Path) -> None:
    labels = coco(pictures)
    with pytest.raises(DataError, match=r"0.png is a background without an ear, but has a label beside it \(10 pict"):
        read_labels(labels, backgrounds=pictures)
    (pictures / "streets").mkdir()
    (pictures / "0.png").rename(pictures / "streets" / "0.png")
    coco(pictures, lambda content: content["images"][0].update(file_name="streets/0.png"))
    with pytest.raises(DataError, match=r"0.png is labeled, but also a background without an ear \(1 pictures are\)"):
        read_labels(labels, backgrounds=pictures / "streets")


def test_labels_in_fractions_are_scaled_and_said(pictures: Path) -> None:
    def shrink(content: dict[str, Any]) -> None:
        for item in content["annotations"]:
            item.pop("keypoints", None)
            item["bbox"] = [0.25, 0.5, 0.5, 0.25]

    labels = read_labels(coco(pictures, shrink))
    assert labels.manifest.boxes[0].tolist() == [20, 50, 40, 25]
    assert labels.notes == (f"{pictures / 'labels.json'}: 10 of 10 labels scaled from fractions",)
    assert labels.subset([1, 2]).notes == labels.notes


def test_points_in_another_order_are_put_in_order_by_name(pictures: Path) -> None:
    first = read_labels(coco(pictures))
    turned = read_labels(coco(pictures, reverse_points), names=first.names)
    assert turned.names == first.names
    np.testing.assert_array_equal(turned.points, first.points)


def reverse_points(content: dict[str, Any]) -> None:
    content["categories"][0]["keypoints"].reverse()
    for annotation in content["annotations"]:
        annotation["keypoints"] = np.reshape(annotation["keypoints"], (-1, 3))[::-1].ravel().tolist()


def test_an_ear_that_nobody_labeled_is_left_out(pictures: Path) -> None:
    content = {"image_paths": [f"{n}.png" for n in range(10)], "bboxes": [None] + [[5, 5, 60, 80]] * 9}
    np.save(pictures / "labels.npy", content, allow_pickle=True)  # type: ignore[arg-type]
    labels = read_labels(pictures / "labels.npy")
    assert [item.reason for item in labels.skipped] == ["no label in the file"]


def test_a_pts_without_its_picture_is_left_out(pictures: Path) -> None:
    for name in (*map(str, range(10)), "alone"):
        (pictures / f"{name}.pts").write_text("version: 1\nn_points: 2\n{\n5 5\n25 35\n}\n")
    labels = read_labels(pictures)
    assert len(labels) == 10
    assert [(item.path, item.reason) for item in labels.skipped] == [("alone", "no image with that name is beside it")]


def test_what_is_wrong_as_a_whole_is_an_error(pictures: Path) -> None:
    with pytest.raises(ManifestError, match=r"labels.json is empty"):
        read_labels(coco(pictures, lambda c: c.update(annotations=[])))
    coco(pictures).write_text("{")
    with pytest.raises(ManifestError, match="line 1: not JSON"):
        read_labels(pictures / "labels.json")
    with pytest.raises(LabelError, match="line 1: not JSON"):
        read_labels(pictures)
    (pictures / "labels.json").unlink()
    with pytest.raises(ManifestError, match="has no labels"):
        read_labels(pictures)
    with pytest.raises(DataError, match=r"10 of 10 labels .* cannot be used .*3 points, expected 5.*`landmarks`"):
        read_labels(coco(pictures), landmarks=5)
    (pictures / "elsewhere").mkdir()
    with pytest.raises(DataError, match="no such file"):
        read_labels(coco(pictures), root=pictures / "elsewhere")


def test_a_whole_picture_knows_one_ear(pictures: Path) -> None:
    labels = read_labels(coco(pictures, lambda c: c["annotations"][1].update(image_id=0)))
    assert labels.has_ear.sum() == 10
    alone = labels.single_ear_pictures()
    assert alone.has_ear.sum() == 8
    assert [item.reason for item in alone.skipped] == ["no label in the file", "2 ears on one picture"]


def test_sets_with_different_points_cannot_be_concatenated(pictures: Path) -> None:
    one = read_labels(coco(pictures))
    two = read_labels(coco(pictures, lambda c: c["categories"][0].update(keypoints=["a", "b", "c"])))
    assert len(Labels.concatenate([one, one])) == 20
    with pytest.raises(DataError, match="have 3 and 3 points or different names for them"):
        Labels.concatenate([one, two])
