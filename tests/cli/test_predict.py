"""Tests of `earcli/cli/predict.py`."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import ear, fails


def test_predictions_are_drawn_and_written_down(detector: Path, ears: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        Image.open(ears / "images" / f"ear_0000{number}.jpg").save(tmp_path / "in" / f"=1+{number}.jpg")
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no picture")
    out, crops = tmp_path / "out", tmp_path / "crops"
    result = ear("predict", tmp_path / "in", "--run-dir", detector, "-o", out, "--crops", crops, "--threshold", 0)
    assert result.exit_code == 0, result.output
    assert "broken.jpg: not a picture that Pillow can read" in result.stdout
    content = json.loads((out / "predictions.json").read_text())
    assert len(content["images"]) == len(content["annotations"]) == 3
    assert content["categories"][0]["keypoints"][0] == "helix_root"
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for annotation, row in zip(content["annotations"], rows, strict=True):
        assert len(annotation["keypoints"]) == 51
        assert 0 <= annotation["score"] <= 1
        assert float(row["helix_root_x"]) == pytest.approx(annotation["keypoints"][0], abs=0.01)
    names = {"=1+0.jpg", "=1+1.jpg", "=1+2.jpg"}
    assert {p.name for p in (out / "pictures").iterdir()} == {p.name for p in crops.iterdir()} == names
    with Image.open(out / "pictures" / "=1+0.jpg") as picture:
        assert picture.size == (160, 208)
    again = ear("predict", tmp_path / "in", "--run-dir", detector, "-o", out, "--json")
    assert json.loads(again.stdout)["pictures"] == 3
    again = ("predict", tmp_path / "in", "--run-dir", detector, "-o")
    fails(ear(*again, tmp_path / "in"), "holds files that ear predict did not put there")
    fails(ear(*again, out, "--crops", out / "crops"), "which is replaced as a whole")


def test_a_manifests_boxes_are_looked_into(detector: Path, ears: Path, tmp_path: Path) -> None:
    source = ears / "val_landmarks.coco.json"
    assert ear("predict", source, "--run-dir", detector, "-o", tmp_path / "out").exit_code == 0
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    labels = json.loads(source.read_text())
    for found, wanted in zip(content["annotations"], labels["annotations"], strict=True):
        x, y, width, height = wanted["bbox"]
        points = np.array(found["keypoints"]).reshape(-1, 3)
        assert (points[:, 0] > x - 0.1 * width - 1).all()
        assert (points[:, 1] < y + 1.1 * height + 1).all()
    chained = ear("predict", tmp_path / "out" / "predictions.json", "--run-dir", detector, "-o", tmp_path / "again")
    assert "6 pictures" in chained.stdout


def test_a_bad_row_of_a_manifest_is_skipped_and_the_others_are_found(
    detector: Path, ears: Path, tmp_path: Path
) -> None:
    rows = ["image_path,x,y,w,h", f"{ears}/images/ear_00000.jpg,10,10,90,120", "gone.jpg,1,1,5,5"]
    rows.append(f"{ears}/images/ear_00001.jpg,900,900,9,9")
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    result = ear("predict", tmp_path / "boxes.csv", "--run-dir", detector, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "gone.jpg: no such file" in result.stdout
    assert "lies outside the picture of 160×208 pixels" in result.stdout
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["annotations"]) == 1
