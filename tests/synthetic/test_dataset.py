"""Drawn ears: complete, repeatable, and where their labels say."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from earcli.data.manifest import read_manifest
from earcli.errors import RunError
from earcli.synthetic.anatomy import HEIGHT, LANDMARKS, WIDTH
from earcli.synthetic.dataset import write_set


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


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RunError, match="is not empty"):
        write_set(tmp_path, 5, seed=0)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
