"""Tests of `earcli/tasks/detector_evaluation_files.py`."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from earcli.analysis.detection import DetectionResults
from earcli.analysis.verdict import MetricRow
from earcli.data.cache import Skipped
from earcli.data.labels import Labels
from earcli.data.manifest import Manifest
from earcli.tasks.detector_evaluation_files import SIDE, write_detector_evaluation

NAMES = ["a.png", "street.png", "b.png"]
TARGET = [10.0, 10.0, 30.0, 40.0]  # with a diagonal of 50


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    """Two ears and a picture without one."""
    for number, name in enumerate(NAMES):
        Image.new("RGB", (60, 80), (40 * number, 90, 60)).save(tmp_path / name)
    boxes = np.array([TARGET, [np.nan] * 4, TARGET])
    points = np.zeros((3, 1, 3))
    points[[0, 2]] = [20, 20, 2]
    skipped = [Skipped(-1, "gone.png", "no such file")]
    return Labels(Manifest(NAMES, boxes, root=tmp_path), np.full((3, 2), [60, 80]), points, ("top",), skipped)


def found(labels: Labels, points: int = 1) -> DetectionResults:
    """The first ear's point is off by 5 pixels, the second one's by 10, and its box has half of the height."""
    boxes = torch.tensor([TARGET, TARGET, [10, 10, 30, 20]])
    targets = torch.tensor([TARGET, [0.0] * 4, TARGET])
    target_points = torch.tensor([[[20.0, 20.0]], [[0.0, 0.0]], [[20.0, 20.0]]])[:, :points]
    offsets = torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]], [[-6.0, 8.0]]])[:, :points]
    return DetectionResults(
        boxes=boxes,
        scores=torch.tensor([0.75, 0.5, 0.25]),
        points=target_points + offsets,
        visibility=torch.ones(3, points),
        target_boxes=targets,
        target_points=target_points,
        labeled=torch.tensor([[True], [False], [True]])[:, :points],
        has_ear=torch.tensor([True, False, True]),
        window=torch.tensor([[0.0, 0.0, 60.0, 80.0]] * 3),
    )


def write(folder: Path, labels: Labels, results: DetectionResults, normalize: str = "box") -> dict[str, object]:
    folder.mkdir()
    return write_detector_evaluation(
        folder,
        Path("best.ckpt"),
        "labels.json",
        labels=labels,
        results=results,
        metrics={"nme": 0.15},
        rows=[MetricRow("points", "nme", "NME of points", "15.0%", "10.0% to 20.0%", "unused")],
        normalize=normalize,
    )


def test_an_evaluation_lists_each_ear_with_its_errors(labels: Labels, tmp_path: Path) -> None:
    document = write(tmp_path / "out", labels, found(labels))
    with (tmp_path / "out" / "per_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"path": "a.png", "nme": "0.1", "iou": "1", "confidence": "0.75"},
        {"path": "b.png", "nme": "0.2", "iou": "0.5", "confidence": "0.25"},
    ]
    assert document["ears"] == "2 (1 labels skipped)"
    assert document["points"] == "1; NME in fractions of the diagonal of the labeled box"
    assert document["nme"] == 0.15
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == document
    assert (tmp_path / "out" / "skipped.csv").read_text() == "path,reason\ngone.png,no such file\n"
    report = (tmp_path / "out" / "report.html").read_text()
    assert "NME of points" in report
    assert "unused" not in report, "a detector has no targets"
    assert report.count("data:image/png") == 2


def test_the_worst_ear_is_the_first_that_is_drawn(labels: Labels, tmp_path: Path) -> None:
    write(tmp_path / "out", labels, found(labels), normalize="crop")
    with Image.open(tmp_path / "out" / "worst.png") as sheet:
        first, second = (sheet.getpixel((2 + SIDE - 8 + shift, 100)) for shift in (0, SIDE + 2))
    assert first[0] == 80, "the picture of b.png, whose point is off by more"
    assert second[0] == 0


def test_ears_without_points_are_ranked_by_their_boxes(labels: Labels, tmp_path: Path) -> None:
    write(tmp_path / "out", labels, found(labels, points=0))
    assert not (tmp_path / "out" / "errors.png").exists(), "there are no landmark errors"
    with (tmp_path / "out" / "per_image.csv").open(newline="") as file:
        assert [row["nme"] for row in csv.DictReader(file)] == ["nan", "nan"]
    with Image.open(tmp_path / "out" / "worst.png") as sheet:
        assert sheet.getpixel((2 + SIDE - 8, 100))[0] == 80
