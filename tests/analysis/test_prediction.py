"""Tests of `earcli/analysis/prediction.py`."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from crops import fill, manifest
from PIL import Image
from torch import Tensor, nn

from earcli.analysis.prediction import Prediction, predict_images
from earcli.data.cache import Skipped
from earcli.models.detector import Detection


class Constant(nn.Module):
    """Finds the same box and points on every image; the logit of the score is the mean of the image."""

    def __init__(self, box: list[float], points: list[list[float]]) -> None:
        super().__init__()
        self.box = nn.Parameter(torch.tensor(box))
        self.points = torch.tensor(points)

    def forward(self, images: Tensor) -> Detection:
        count = len(images)
        boxes = torch.cat([self.box.expand(count, 4), images.mean((1, 2, 3))[:, None]], 1)
        return Detection(boxes, self.points.expand(count, -1, -1))


MODEL = Constant([0.25, 0.5, 0.5, 0.25], [[0.5, 0.5, math.log(3)], [0.0, 1.0, 0.0]])


def only(folder: Path, box: list[float] | None, margin: float | None, model: nn.Module = MODEL) -> Prediction:
    (result,) = predict_images(model, manifest(folder, [box]), side=64, margin=margin, workers=1)  # type: ignore[arg-type]
    assert isinstance(result, Prediction)
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One picture of 40 by 30 pixels, white with a black rectangle of 20 by 10 at (10, 5)."""
    pixels = np.full((30, 40, 3), 255, np.uint8)
    pixels[5:15, 10:30] = 0
    Image.fromarray(pixels).save(tmp_path / "ear.png")
    return tmp_path


def test_boxes_and_points_are_in_pixels_of_the_whole_image(folder: Path) -> None:
    found = only(folder, [10, 5, 20, 10], 0.0)
    assert (found.index, found.size) == (0, (40, 30))
    assert found.box.tolist() == [15, 10, 10, 2.5]
    np.testing.assert_allclose(found.points, [[19.5, 9.5, 0.75], [9.5, 14.5, 0.5]])


def test_the_search_is_restricted_to_the_box_and_its_margin(folder: Path) -> None:
    inside = only(folder, [10, 5, 20, 10], 0.0)
    assert inside.score == pytest.approx(1 / (1 + math.e))
    around = only(folder, [10, 5, 20, 10], 0.5)
    assert around.box.tolist() == [10, 10, 20, 5]
    for everywhere in (only(folder, [10, 5, 20, 10], None), only(folder, None, 0.0)):
        assert everywhere.box.tolist() == [10, 15, 20, 7.5]
        assert everywhere.score > around.score > inside.score


def test_a_box_is_never_wider_than_nothing(folder: Path) -> None:
    found = only(folder, None, None, Constant([0.5, 0.5, -0.25, 0.5], [[0.5, 0.5, 0.0]]))
    assert found.box.tolist() == [20, 15, 0, 15]


def test_an_image_that_cannot_be_read_is_skipped_in_its_place(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    (tmp_path / "001.png").write_bytes(b"")
    calls: list[tuple[str, int, int]] = []
    results = list(
        predict_images(
            MODEL,  # type: ignore[arg-type]
            manifest(tmp_path),
            side=64,
            margin=0.1,
            batch_size=3,
            workers=2,
            progress=lambda *call: calls.append(call),
        )
    )
    assert results[1] == Skipped(1, "001.png", "empty file")
    assert [result.index for result in results] == [0, 1, 2, 3, 4]
    assert [type(result) for result in results] == [Prediction, Skipped, Prediction, Prediction, Prediction]
    assert calls == [("detecting ears", number, 5) for number in range(1, 6)]
