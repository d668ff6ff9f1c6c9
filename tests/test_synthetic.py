"""Drawn ears: complete, repeatable, and where their labels say."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from earcli.data.manifest import read_manifest
from earcli.errors import RunError
from earcli.synthetic.anatomy import HEIGHT, LANDMARKS, WIDTH
from earcli.synthetic.dataset import draw_ear, draw_factors, write_set


def test_a_set_has_pictures_manifests_key_points_and_factors(ears: Path) -> None:
    train, val = read_manifest(ears / "train_teacher.npy"), read_manifest(ears / "val_teacher.npy")
    assert (len(train), len(val)) == (24, 6)
    assert not set(train.paths) & set(val.paths)
    with (ears / "factors.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 30
    for name, part in (("train", train), ("val", val)):
        labels = json.loads((ears / f"{name}_landmarks.coco.json").read_text())
        assert [image["file_name"] for image in labels["images"]] == part.paths
    coco = json.loads((ears / "train_landmarks.coco.json").read_text())
    assert len(coco["images"]) == len(coco["annotations"]) == 24
    assert coco["categories"][0]["keypoints"] == list(LANDMARKS)
    for image, annotation in zip(coco["images"], coco["annotations"], strict=True):
        with Image.open(ears / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"]) == (WIDTH, HEIGHT)
        assert len(annotation["keypoints"]) == 3 * 17
        x, y, width, height = annotation["bbox"]
        points = np.array(annotation["keypoints"]).reshape(17, 3)
        assert (points[:, 0] >= x).all()
        assert (points[:, 0] <= x + width).all()
        assert (points[:, 1] >= y).all()
        assert (points[:, 1] <= y + height).all()
    assert 1.2 < np.median([a["bbox"][3] / a["bbox"][2] for a in coco["annotations"]]) < 2


def test_the_same_seed_draws_the_same_ears(ears: Path, tmp_path: Path) -> None:
    write_set(tmp_path / "again", 5, seed=7)
    write_set(tmp_path / "other", 5, seed=8)
    first = (ears / "images" / "ear_00003.jpg").read_bytes()
    assert (tmp_path / "again" / "images" / "ear_00003.jpg").read_bytes() == first
    assert (tmp_path / "other" / "images" / "ear_00003.jpg").read_bytes() != first


def test_left_and_right_ears_mirror_each_other() -> None:
    factors = draw_factors(np.random.default_rng(0))
    left = draw_ear(replace(factors, left=True), np.random.default_rng(1))
    right = draw_ear(replace(factors, left=False), np.random.default_rng(1))
    np.testing.assert_array_equal(left.image, right.image[:, ::-1])
    np.testing.assert_allclose(left.landmarks[:, 0], WIDTH - 1 - right.landmarks[:, 0])


@pytest.mark.parametrize(("factor", "low", "high"), [("concha", -1, 1), ("antihelix", -1, 1), ("skin", 0, 1)])
def test_a_factor_changes_the_picture_and_shape_factors_change_it_inside_the_box(
    factor: str, low: float, high: float
) -> None:
    factors = replace(draw_factors(np.random.default_rng(0)), hair_cover=0.0)
    a, b = (draw_ear(replace(factors, **{factor: v}), np.random.default_rng(1)) for v in (low, high))
    change = np.abs(a.image.astype(int) - b.image.astype(int)).mean(-1)
    x, y, width, height = (round(v) for v in a.box)
    inside = change[y : y + height, x : x + width].mean()
    outside = change.sum() - change[y : y + height, x : x + width].sum()
    assert inside > 2
    if factor != "skin":
        assert outside < 0.1 * change.sum()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RunError, match="is not empty"):
        write_set(tmp_path, 5, seed=0)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
