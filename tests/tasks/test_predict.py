"""Tests of `earcli/tasks/predict.py`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fitting import Recorder
from PIL import Image

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import RunFolder
from earcli.data.batches import as_images
from earcli.data.images import read_crop
from earcli.errors import ConfigError, DataError, RunError
from earcli.tasks.predict import SkippedImage, predict


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"threshold": 1.5}, "`threshold` must be between 0 and 1, got 1.5"),
        ({"batch_size": 0}, "`batch_size` must be 1 or more, got 0"),
        ({"num_workers": 0}, "`num_workers` must be 1 or more, got 0"),
        ({"output": "out", "crops": "out/../out/crops"}, r"`crops` .* lies in `output` out, which is replaced"),
    ],
)
def test_a_value_out_of_range_is_refused_before_anything_is_read(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        predict(["nowhere"], checkpoint="nowhere.ckpt", **parameters)


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RunError, match="holds files that ear predict did not put there"):
        predict(["nowhere"], output=tmp_path)
    (tmp_path / "predictions.json").write_text("{}")
    with pytest.raises(DataError, match="nowhere does not exist"):
        predict(["nowhere"], output=tmp_path)


def test_predictions_are_what_the_detector_finds_in_pixels_of_the_picture(
    detector: Path, ears: Path, tmp_path: Path
) -> None:
    last, path = RunFolder(detector / "ear_detector" / "version_0").last, ears / "images" / "ear_00002.jpg"
    reporter = Recorder()
    result = predict([path], checkpoint=last, output=tmp_path / "out", reporter=reporter)
    checkpoint = Checkpoint.open(last)
    pixels = read_crop(path, np.full(4, np.nan), checkpoint.detector_config.side)
    with torch.no_grad():
        boxes, points = checkpoint.detector()(as_images(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]))
    (found,) = json.loads((result.output / "predictions.json").read_text())["annotations"]
    size = np.array([160, 208])
    np.testing.assert_allclose(found["bbox"], boxes[0, :4].numpy() * np.tile(size, 2), atol=0.02)
    assert found["score"] == pytest.approx(float(boxes[0, 4].sigmoid()), abs=1e-4)
    keypoints = np.array(found["keypoints"]).reshape(17, 3)
    np.testing.assert_allclose(keypoints[:, :2], points[0, :, :2].numpy() * size - 0.5, atol=0.02)
    np.testing.assert_array_equal(keypoints[:, 2], np.where(points[0, :, 2] >= 0, 2, 1))
    assert reporter.notes == [f"detector {last}"]


def test_the_threshold_decides_what_is_drawn_and_cropped_but_not_what_is_written(
    detector: Path, ears: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        Image.open(ears / "images" / f"ear_0000{number}.jpg").save(tmp_path / "in" / f"{number}.jpg")
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no picture")
    options: dict[str, Any] = {"checkpoint": RunFolder(detector / "ear_detector" / "version_0").last}
    none, both = (
        predict([tmp_path / "in"], output=tmp_path / f"out{t}", crops=tmp_path / f"crops{t}", threshold=t, **options)
        for t in (1.0, 0.0)
    )
    for result, drawn in ((none, set()), (both, {"0.jpg", "1.jpg"})):
        assert (result.pictures, result.ears) == (2, len(drawn))
        assert {path.name for path in (result.output / "pictures").iterdir()} == drawn
        assert result.crops is not None
        assert len(json.loads((result.output / "predictions.json").read_text())["annotations"]) == 2
        assert {path.name for path in result.crops.iterdir()} <= drawn
    broken = SkippedImage(str(tmp_path / "in" / "broken.jpg"), "not a picture that Pillow can read")
    assert both.skipped == [broken]
    assert json.loads(json.dumps(both.to_dict())) == {
        "output": str(tmp_path / "out0.0"),
        "crops": str(tmp_path / "crops0.0"),
        "threshold": 0.0,
        "pictures": 2,
        "ears": 2,
        "skipped": [{"path": broken.path, "reason": broken.reason}],
    }


def test_pictures_that_cannot_be_read_are_an_error_if_all_are(detector: Path, ears: Path, tmp_path: Path) -> None:
    last = RunFolder(detector / "ear_detector" / "version_0").last
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.HEIC").write_text("not read")
    with pytest.raises(DataError, match="install pillow-heif"):
        predict([tmp_path / "photos" / "a.HEIC"], checkpoint=last, output=tmp_path / "out")
    (tmp_path / "photos" / "b.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"None of 2 pictures can be read, first photos/a.HEIC: .HEIC is not read"):
        predict([tmp_path / "photos"], checkpoint=last, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    result = predict([tmp_path / "photos", ears / "images" / "ear_00002.jpg"], checkpoint=last, output=tmp_path / "out")
    assert result.pictures == 1
    assert [Path(item.path).name for item in result.skipped] == ["a.HEIC", "b.jpg"]
