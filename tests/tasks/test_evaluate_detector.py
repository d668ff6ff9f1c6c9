"""Tests of `earcli/tasks/evaluate_detector.py`."""

import csv
import json
from pathlib import Path

import pytest
from running import ear, fails

from earcli.checkpoints.runs import RunFolder


def test_an_evaluation_gives_the_figures_of_training_and_draws_the_worst(detector: Path, tmp_path: Path) -> None:
    run = RunFolder(detector / "ear_detector" / "version_0")
    result = ear("evaluate", "--checkpoint", run.last, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    with run.metrics.open() as file:
        last = list(csv.DictReader(file))[-1]
    for name in ("nme", "iou", "ap", "auc"):
        assert metrics[name] == pytest.approx(float(last[f"val/{name}"]), rel=1e-4)
    assert metrics["nme_low"] <= metrics["nme"] <= metrics["nme_high"]
    assert 0 < metrics["nme_of_mean_shape"] < 1
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"metrics.json", "per_image.csv", "report.html", "worst.png", "errors.png"}
    again = ("evaluate", "--checkpoint", run.last, "-o", tmp_path / "x")
    fails(ear(*again, "--normalize", "1,99"), "points 1 to 17")
    fails(ear(*again, "--fail-under-psnr", 20), "--fail-under-psnr cannot be used", "is a detector")
