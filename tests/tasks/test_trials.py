"""Tests of `earcli/tasks/trials.py`."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting import Recorder

from earcli.config.detector import FinetuneConfig
from earcli.data.labels import Labels
from earcli.errors import ConfigError, DataError, InterruptedTraining, WeightsError
from earcli.reporting.reporter import SILENT
from earcli.tasks.trials import ComparedEars, read_compared_ears, read_ears, run_trials, settle_configs
from earcli.training.comparison import Plan, Trial


@pytest.fixture
def config(ears: Path, teacher: Path, tmp_path: Path) -> FinetuneConfig:
    return FinetuneConfig(checkpoint=str(teacher), run_dir=tmp_path / "runs", image_size=64, num_workers=1)


def changed(source: Path, folder: Path, change: Any) -> Path:
    """A copy of labels in which `change` was made, and whose pictures are found."""
    content = json.loads(source.read_text())
    for image in content["images"]:
        image["file_name"] = str(source.parent / image["file_name"])
    change(content)
    path = folder / "changed.json"
    path.write_text(json.dumps(content))
    return path


def test_ears_of_several_sets_are_compared_and_pictures_without_one_are_not(
    ears: Path, config: FinetuneConfig, tmp_path: Path
) -> None:
    sets = [ears / f"{name}_landmarks.coco.json" for name in ("val", "train")]
    assert len(read_ears(sets, None, "column", config, SILENT)) == 30
    path = changed(sets[0], tmp_path, lambda content: content["annotations"].pop(2))
    labels = read_ears([path, sets[1]], None, "folder", config, SILENT)
    assert len(labels) == 29
    assert labels.has_ear.all()
    assert set(labels.manifest.subjects or []) == {"images"}


def test_labels_without_landmarks_are_refused(ears: Path, config: FinetuneConfig, tmp_path: Path) -> None:
    def hide(content: dict[str, Any]) -> None:
        for item in content["annotations"]:
            item["keypoints"] = [0] * len(item["keypoints"])

    path = changed(ears / "val_landmarks.coco.json", tmp_path, hide)
    with pytest.raises(DataError, match=r"The labels have no landmarks, whose errors are compared"):
        read_ears([path], None, "column", config, SILENT)


def test_every_start_has_the_architecture_of_the_teacher(teacher: Path, config: FinetuneConfig) -> None:
    reporter = Recorder()
    starts = {"none": FinetuneConfig(checkpoint=str(teacher), init="none", precision="32"), "teacher": config}
    settled = settle_configs(starts, ["top", "lobe"], reporter)
    assert list(settled) == ["none", "teacher"]
    for item in settled.values():
        assert (item.latent_dim, item.teacher_size, item.encoder) == (8, 64, "resnet18")
        assert (item.checkpoint, item.point_names) == (str(teacher), ("top", "lobe"))
        assert item.precision != "auto"
    assert reporter.notes == [f"teacher {teacher}"]
    imagenet = {"imagenet": FinetuneConfig(checkpoint=str(teacher), init="imagenet")}
    with pytest.raises(WeightsError, match="is not on this machine"):
        settle_configs(imagenet, ["top"], SILENT)
    with pytest.raises(ConfigError, match="`latent_dim` is 9, but the teacher's is 8"):
        settle_configs({"none": FinetuneConfig(checkpoint=str(teacher), latent_dim=9)}, ["top"], SILENT)


def test_ears_of_one_person_or_else_of_one_picture_are_a_group(ears: Path, config: FinetuneConfig) -> None:
    labels = read_ears([ears / "val_landmarks.coco.json"], None, "column", config, SILENT)
    labels = labels.subset([0, 1, 2, 3, 3, 4])
    labels = replace(labels, manifest=replace(labels.manifest, subjects=["", "Ann", "Bob", "", "", "Ann"]))
    compared = read_compared_ears(labels, config, SILENT)
    first, second, third, fourth, fifth, sixth = compared.groups.tolist()
    assert (second, fourth) == (sixth, fifth)
    assert len({first, second, third, fourth}) == 4
    assert (len(compared), compared.names) == (6, labels.names)
    assert (compared.train.pixels.shape[1], compared.test.pixels.shape[1]) == (128, 64)


def test_the_trials_before_an_interruption_are_kept(
    ears: Path, config: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trial(start: str) -> Trial:
        nme, iou = np.array([0.25, np.nan, 0.5]), np.array([0.5, 1, 0.75])
        return Trial(start, 10, 2, 1, np.arange(3), nme, iou)

    def compare(*_: Any) -> Iterator[Trial]:
        yield trial("none")
        yield trial("teacher")
        raise InterruptedTraining(15, Path("last.ckpt"))

    monkeypatch.setattr("earcli.tasks.trials.compare", compare)
    labels: Labels = read_ears([ears / "val_landmarks.coco.json"], None, "column", config, SILENT)
    compared: ComparedEars = read_compared_ears(labels, config, SILENT)
    reporter = Recorder()
    plan = Plan({"none": config, "teacher": config}, [10], [2], 2)
    with pytest.raises(InterruptedTraining) as stopped:
        run_trials(plan, compared, 1, 1, tmp_path, reporter)
    assert (stopped.value.signal_number, stopped.value.last) == (15, None)
    assert reporter.notes == [
        "6 labeled ears in 6 groups, 4 detectors to train",
        f"the trials so far are in {tmp_path / 'trials.csv'}",
    ]
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    figures = {"labels": "10", "seed": "2", "fold": "1", "ears": "3", "nme": "0.375000", "iou": "0.750000"}
    assert rows == [{"start": "none", **figures}, {"start": "teacher", **figures}]
