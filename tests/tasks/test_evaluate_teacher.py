"""Tests of `earcli/tasks/evaluate_teacher.py`."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crops import left_crops
from fitting import Recorder

from earcli.analysis.verdict import Targets
from earcli.checkpoints.checkpoint import Checkpoint
from earcli.data.manifest import read_manifest
from earcli.errors import ManifestError
from earcli.tasks.evaluate import Evaluation, EvaluationSettings
from earcli.tasks.evaluate_teacher import evaluate_teacher


@pytest.fixture
def checkpoint(teacher: Path) -> Checkpoint:
    return Checkpoint.open(teacher)


def evaluated(checkpoint: Checkpoint, tmp_path: Path, reporter: Recorder, **options: Any) -> Evaluation:
    settings = EvaluationSettings(None, None, tmp_path / "out", 4, 1, "cpu", 0, tmp_path, reporter)
    return evaluate_teacher(checkpoint, settings, Targets(), **options)


def test_the_sets_of_the_run_are_used(checkpoint: Checkpoint, ears: Path, tmp_path: Path) -> None:
    reporter = Recorder()
    evaluation = evaluated(checkpoint, tmp_path, reporter)
    model = checkpoint.teacher()
    mean = left_crops(model, read_manifest(ears / "train_teacher.npy")).pixels.mean(axis=0) / 255
    val = left_crops(model, read_manifest(ears / "val_teacher.npy"))
    errors = ((val.pixels / 255 - mean) ** 2).mean(axis=(1, 2, 3))
    found = evaluation.metrics["baselines"]["mean_image"]["psnr"]["value"]
    assert found == pytest.approx(float((-10 * np.log10(errors)).mean()), rel=1e-5)
    assert evaluation.metrics["images"] == 6
    assert "perceptual" not in evaluation.metrics["reconstruction"]
    assert reporter.notes == [
        f"teacher {checkpoint.path}",
        f"6 ears of {ears / 'val_teacher.npy'}; {val.mirrored} right ears are mirrored",
        "no VGG distance: its weights are not on this machine (`perceptual_weights` imagenet downloads them)",
    ]


def test_baselines_are_left_out_only_where_the_runs_own_pictures_are_gone(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    gone, reporter = tmp_path / "gone.npy", Recorder()
    moved = replace(checkpoint, config=replace(checkpoint.config, train_manifest=gone))
    assert evaluated(moved, tmp_path, reporter).metrics["baselines"] == {}
    assert reporter.notes[-1].startswith(f"no baselines: {gone}, which the run of {checkpoint.path} names, does not")
    with pytest.raises(ManifestError, match=r"gone\.npy does not exist"):
        evaluated(checkpoint, tmp_path, Recorder(), train_manifest=gone)


def test_a_random_subset_keeps_its_order_and_the_names_of_its_folders(
    checkpoint: Checkpoint, ears: Path, tmp_path: Path
) -> None:
    evaluated(checkpoint, tmp_path, Recorder(), limit=4, subject="folder", perceptual_weights="none")
    with (tmp_path / "out" / "per_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = read_manifest(ears / "val_teacher.npy").paths
    chosen = sorted(np.random.default_rng(0).permutation(6)[:4])
    assert [row["path"] for row in rows] == [names[row] for row in chosen]
    assert {row["subject"] for row in rows} == {"images"}
