"""Tests of `earcli/cli/compare_init.py`."""

import csv
from pathlib import Path

import pytest
from running import ear


@pytest.mark.slow
def test_starts_are_compared_on_the_same_ears(ears: Path, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "comparison"
    result = ear(
        "compare-init", "--manifest", ears / "val_landmarks.coco.json", "--checkpoint", teacher, "--budgets", "2,3",
        "--seeds", 1, "--folds", 2, "--steps", 1, "-o", out, "--run-dir", tmp_path / "runs", "--starts", "none,frozen",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "6 labeled ears in 6 groups, 8 detectors to train" in result.stdout
    with (out / "trials.csv").open() as file:
        trials = list(csv.DictReader(file))
    assert len(trials) == 8
    assert sum(int(t["ears"]) for t in trials if (t["start"], t["labels"]) == ("none", "2")) == 6
    with (out / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["start"], row["labels"]) for row in rows] == [
        ("none", "2"),
        ("frozen", "2"),
        ("none", "3"),
        ("frozen", "3"),
    ]
    assert (out / "curve.png").stat().st_size > 0
    assert not list((tmp_path / "runs").glob("ear_detector*")), "detectors that were compared are not kept"
