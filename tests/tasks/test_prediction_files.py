"""Tests of `earcli/tasks/prediction_files.py`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from corpus import picture

from earcli.analysis.prediction import Prediction
from earcli.data.manifest import Manifest, read_manifest
from earcli.data.sources import collect_samples
from earcli.tasks.prediction_files import FORMATS, TOOL_FILES, PredictionWriter


def test_what_is_named_after_a_picture_stays_in_its_folder(tmp_path: Path) -> None:
    names = ["../a.jpg", f"{'x' * 250}.jpg", f"{'x' * 250}.JPG", "sub/../../a.jpg"]
    root = tmp_path / "raw" / "sub"
    root.mkdir(parents=True)
    (root / "sub").mkdir()
    for name in names:
        (root / name).resolve().write_bytes(picture("jpg"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "out").mkdir()
    (tmp_path / "cut").mkdir()
    manifest = Manifest(names, np.full((4, 4), np.nan), root=root)
    predictions = [Prediction(row, (48, 32), np.array([1.0, 2, 20, 20]), 0.9, np.zeros((0, 3))) for row in range(4)]
    PredictionWriter(tmp_path / "out", tmp_path / "out", tmp_path / "cut", manifest, (), 0.5).write(predictions)
    assert len(list((tmp_path / "cut").iterdir())) == len(list((tmp_path / "out" / "pictures").iterdir())) == 4
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert all({"out", "cut"} & set(path.parts) for path in after - before.keys())
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_for_a_tool_reads_back_the_same(format: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for name in ("a/one.jpg", "b/two.jpg"):
        (raw / name).parent.mkdir(parents=True)
        (raw / name).write_bytes(picture("jpg"))  # 48×32 pixels
    draw = np.random.default_rng(0)
    manifest = Manifest([str(raw / "a/one.jpg"), str(raw / "b/two.jpg")], np.full((2, 4), np.nan), root=Path("/"))
    predictions = [
        Prediction(row, (48, 32), np.append(draw.uniform(0, 9, 2), [20.5, 18.25]), score, draw.uniform(0.6, 19, (2, 3)))
        for row, score in ((0, 0.123456), (1, 0.9))
    ]
    (tmp_path / "out").mkdir()
    writer = PredictionWriter(tmp_path / "out", tmp_path / "out", None, manifest, ("tip", "lobe"), 0.0, format)
    writer.write(predictions)
    names = {
        "coco": "predictions.json",
        "csv": "predictions.csv",
        **{key: name for key, (name, _) in TOOL_FILES.items()},
    }
    read = read_back(tmp_path, raw, names[format], predictions=format == "label-studio")
    assert [read.locate(row).resolve() for row in range(2)] == [Path(name).resolve() for name in manifest.paths]
    tolerance = 0.01 if format == "csv" else 1e-4
    np.testing.assert_allclose(read.boxes, [p.box for p in predictions], atol=tolerance)
    assert read.keypoints is not None
    for keypoints, prediction in zip(read.keypoints, predictions, strict=True):
        assert keypoints is not None
        assert keypoints.names == (("1", "2") if format == "yolo" else ("tip", "lobe"))
        np.testing.assert_allclose(keypoints.points[:, :2], prediction.points[:, :2], atol=tolerance)


def read_back(folder: Path, raw: Path, name: str, predictions: bool) -> Manifest:
    """Reads a file as `ear` reads labels, or a folder of label files after copying them beside the pictures."""
    path = folder / "out" / name
    if path.is_dir():
        shutil.copytree(path, raw, dirs_exist_ok=True)
        contents = collect_samples([raw], lambda below: "")
        samples = sorted(contents.samples, key=lambda sample: sample.path)
        boxes = np.array([sample.box for sample in samples])
        return Manifest([s.path for s in samples], boxes, keypoints=[s.keypoints for s in samples], root=Path("/"))
    if predictions:  # which Label Studio turns into annotations when somebody accepts them
        tasks = json.loads(path.read_text())
        for task in tasks:
            task["annotations"] = task.pop("predictions")
        path.write_text(json.dumps(tasks))
    return read_manifest(path, None if path.suffix == ".csv" or name == "predictions.json" else raw)


def test_predictions_on_coco_images_keep_their_ids(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(picture("jpg"))
    manifest = Manifest(["a.jpg"], np.full((1, 4), np.nan), root=tmp_path, image_ids=[42])
    (tmp_path / "out").mkdir()
    prediction = Prediction(0, (48, 32), np.array([1.0, 2, 20, 20]), 0.9, np.zeros((0, 3)))
    PredictionWriter(tmp_path / "out", tmp_path / "out", None, manifest, (), 0.5).write([prediction])
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert ([item["id"] for item in content["images"]], content["annotations"][0]["image_id"]) == ([42], 42)
