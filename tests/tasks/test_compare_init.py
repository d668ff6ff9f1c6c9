"""Tests of `earcli/tasks/compare_init.py`."""

import csv
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from earcli.errors import ConfigError, RunError
from earcli.tasks.compare_init import compare_init


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"starts": "none,luck"}, "`starts` must be one of none, teacher, frozen, imagenet, .*, got 'luck'"),
        ({"starts": "teacher:"}, "`starts` must be one of .*, got 'teacher:'"),
        ({"starts": "encoder:resnet19"}, "`starts` must be resnet18 to resnet152 .*, got 'resnet19'"),
        ({"budgets": "10,x"}, "`budgets` must be numbers of labels such as 10,25,60, got '10,x'"),
        ({"budgets": [5, 0]}, r"`budgets` must be numbers of labels such as 10,25,60, got \[5, 0\]"),
        ({"budgets": []}, "`budgets` must be numbers of labels"),
        ({"folds": 1}, "`folds` must be 2 or more, got 1"),
        ({"config": {"batch_size": "auto"}}, "`config` must have a number as batch_size, got auto"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused_before_labels_are_read(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        compare_init(["nowhere.json"], **parameters)


def test_results_of_another_comparison_are_kept(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text("precious")
    with pytest.raises(RunError, match="is not empty"):
        compare_init(["nowhere.json"], output=tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


def test_a_row_averages_the_errors_of_all_ears(ears: Path, teacher: Path, tmp_path: Path) -> None:
    result = compare_init(
        [ears / "val_landmarks.coco.json"],
        checkpoint=teacher,
        starts=["none", "none"],
        budgets=[2, 2],
        seeds=1,
        folds=2,
        steps=1,
        config={"batch_size": 2, "precision": "32", "augment": "none"},
        output=tmp_path / "out",
        run_dir=tmp_path / "runs",
    )
    with (tmp_path / "out" / "trials.csv").open(newline="") as file:
        trials = list(csv.DictReader(file))
    assert [(row["start"], row["labels"], row["fold"], row["ears"]) for row in trials] == [
        ("none", "2", "0", "3"),
        ("none", "2", "1", "3"),
    ]
    (row,) = result.to_dict()
    assert [row[name] for name in ("start", "labels", "below_first", "below_first_low")] == ["none", 2, 0, 0]
    for name in ("nme", "iou"):  # the folds have equally many ears
        assert row[name] == pytest.approx(sum(float(trial[name]) for trial in trials) / 2, abs=1e-6)
    with (result.output / "comparison.csv").open(newline="") as file:
        assert [{name: str(value) for name, value in row.items()}] == list(csv.DictReader(file))
    assert result.curve.read_bytes().startswith(b"\x89PNG")


def test_other_encoders_and_other_teachers_start_beside_the_teacher(ears: Path, teacher: Path, tmp_path: Path) -> None:
    weights = tmp_path / "convnext.pth"
    torch.save(timm.create_model("test_convnext").state_dict(), weights)
    starts = ["none", f"encoder:timm:test_convnext={weights}", "encoder:timm:test_vit=none", f"frozen:{teacher}"]
    result = compare_init(
        [ears / "val_landmarks.coco.json"],
        checkpoint=teacher,
        starts=starts,
        budgets=[2],
        seeds=1,
        folds=2,
        steps=1,
        config={"batch_size": 2, "precision": "32", "augment": "none"},
        output=tmp_path / "out",
        run_dir=tmp_path / "runs",
    )
    assert [row["start"] for row in result.rows] == starts
    assert len({row["nme"] for row in result.rows}) == 4
    for row in result.rows[1:]:
        assert row["below_first_low"] <= row["below_first"] <= row["below_first_high"]
