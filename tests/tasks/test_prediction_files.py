"""Tests of `earcli/tasks/prediction_files.py`."""

from pathlib import Path

import numpy as np
from corpus import picture

from earcli.analysis.prediction import Prediction
from earcli.data.manifest import Manifest
from earcli.tasks.prediction_files import PredictionWriter


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
    PredictionWriter(tmp_path / "out", tmp_path / "cut", manifest, (), 0.5).write(predictions)
    assert len(list((tmp_path / "cut").iterdir())) == len(list((tmp_path / "out" / "pictures").iterdir())) == 4
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert all({"out", "cut"} & set(path.parts) for path in after - before.keys())
    assert all(path.read_bytes() == content for path, content in before.items())
