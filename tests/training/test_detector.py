"""Tests of `earcli/training/detector.py`."""

import csv
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from fitting import Recorder
from running import ear

from earcli.checkpoints.runs import RunFolder
from earcli.config.detector import FinetuneConfig
from earcli.data.views import view_dataset
from earcli.errors import InterruptedTraining
from earcli.models.vae import EarVAE
from earcli.tasks.detectors import build_detector, read_label_sets
from earcli.training.loop import train_detector


@pytest.fixture
def config(ears: Path, teacher: Path, tmp_path: Path) -> FinetuneConfig:
    """Two epochs of two steps, fp32."""
    return FinetuneConfig(
        checkpoint=str(teacher),
        train_manifest=ears / "train_landmarks.coco.json",
        val_manifest=ears / "val_landmarks.coco.json",
        run_dir=tmp_path / "runs",
        epochs=2,
        epoch_steps=2,
        batch_size=4,
        labels=6,
        precision="32",
        num_workers=2,
    )


def fit(config: FinetuneConfig, report: Recorder | None = None) -> RunFolder:
    report = report or Recorder()
    train, val = read_label_sets(config, report)
    model, config = build_detector(config, train.names)
    varied, plain = (
        view_dataset(labels, 64, 0.1, vary=vary, folder=config.run_dir / ".cache", workers=2)[0]
        for labels, vary in ((train, True), (val, False))
    )
    return train_detector(config, model, varied, plain, (), report)[0]


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    content = torch.load(run.last, weights_only=True)
    moments = content["optimizer_states"][0]["state"]
    flat = {f"{number}.{name}": value for number, state in moments.items() for name, value in state.items()}
    return {**content["state_dict"], **flat}


def test_a_run_has_what_every_run_has(detector: Path) -> None:
    run = RunFolder(detector / "ear_detector" / "version_0")
    assert run.kind == "detector"
    names = {str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file()}
    assert {"metrics.csv", "hparams.yaml", "checkpoints/last.ckpt", "predictions/epoch_001.png"} <= names
    with run.metrics.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert {"val/nme", "val/iou", "val/ap", "val/ap50", "val/auc", "train/landmark", "val/box"} <= set(rows[0])
    knobs = torch.load(run.last, weights_only=True)["hyper_parameters"]
    assert (knobs["landmarks"], knobs["image_size"], knobs["encoder"]) == (17, 64, "resnet18")
    assert knobs["landmark_names"].startswith("helix_root,helix_front")


def test_a_run_that_stops_and_resumes_equals_one_that_did_not_bit_for_bit(config: FinetuneConfig) -> None:
    whole = fit(config)
    interrupted = Recorder(lambda e, b: os.kill(os.getpid(), signal.SIGINT) if (e, b) == (1, 1) else None)
    with pytest.raises(InterruptedTraining) as stopped:
        fit(replace(config, run_name="stopped"), interrupted)
    assert stopped.value.last is not None
    run = RunFolder.of(stopped.value.last)
    assert ear("resume", run.last).exit_code == 0
    first, second = weights(whole), weights(run)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.slow
def test_it_learns_where_the_points_are(config: FinetuneConfig) -> None:
    report = Recorder()
    fit(replace(config, labels=4, augment="none", epoch_steps=12), report)
    first, last = report.records
    assert last["train/landmark"] < 0.5 * first["train/landmark"]
    assert last["train/box"] < 0.7 * first["train/box"]


def test_other_starts(config: FinetuneConfig, tmp_path: Path, teacher: Path) -> None:
    small = {"teacher_size": 64, "latent_dim": 8, "encoder": "resnet18"}
    nothing, settled = build_detector(replace(config, init="none", **small), ("a", "b"))  # type: ignore[arg-type]
    assert (settled.latent_dim, settled.teacher_size, settled.encoder) == (8, 64, "resnet18")
    assert settled.point_names == ("a", "b")
    # a batch norm counts what it has seen
    assert EarVAE.load_from_checkpoint(teacher).encoder.trunk.stem[1].num_batches_tracked > 0
    assert nothing.encoder.trunk.stem[1].num_batches_tracked == 0
    assert build_detector(config, ("a",))[0].encoder.trunk.stem[1].num_batches_tracked > 0
    trunk = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(trunk, tmp_path / "trunk.pth")
    given = replace(config, init="imagenet", weights=str(tmp_path / "trunk.pth"), **small)  # type: ignore[arg-type]
    assert torch.equal(build_detector(given, ("a",))[0].encoder.trunk.stem[0].weight, trunk["conv1.weight"])
