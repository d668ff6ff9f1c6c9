"""Tests of `earcli/tasks/detectors.py`."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fitting import Recorder

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.config.detector import FinetuneConfig
from earcli.errors import ConfigError, DataError
from earcli.reporting.reporter import SILENT
from earcli.tasks.detectors import build_detector, read_initial_trunk, read_label_sets, read_views


@pytest.fixture
def config(ears: Path, teacher: Path, tmp_path: Path) -> FinetuneConfig:
    """Labels of the drawn ears, and their teacher."""
    return FinetuneConfig(
        checkpoint=str(teacher),
        train_manifest=ears / "train_landmarks.coco.json",
        val_manifest=ears / "val_landmarks.coco.json",
        run_dir=tmp_path / "runs",
        num_workers=2,
    )


def relabeled(source: Path, names: list[str], folder: Path) -> Path:
    """A copy of labels beside which the pictures are found, with other names of the landmarks."""
    content = json.loads(source.read_text())
    content["categories"][0]["keypoints"] = names
    for image in content["images"]:
        image["file_name"] = str(source.parent / image["file_name"])
    path = folder / "relabeled.json"
    path.write_text(json.dumps(content))
    return path


def test_a_subset_of_the_labels_is_trained_on_and_said(config: FinetuneConfig) -> None:
    reporter = Recorder()
    train, val = read_label_sets(replace(config, labels=5), reporter)
    assert (len(train), len(val)) == (5, 6)
    assert reporter.notes == ["5 labeled training ears, 6 validation ears; 17 landmarks"]
    whole, _ = read_label_sets(config, SILENT)
    assert len(whole) == 24
    assert set(train.manifest.paths) < set(whole.manifest.paths)


def test_two_sets_with_different_landmarks_are_refused(config: FinetuneConfig, tmp_path: Path) -> None:
    swapped = [f"point {number}" for number in range(17)]
    config = replace(config, val_manifest=relabeled(config.val_manifest, swapped, tmp_path))
    with pytest.raises(DataError, match="name different landmarks, such as 'helix_root' and 'point 0'"):
        read_label_sets(config, SILENT)


def test_numbered_landmarks_go_with_any_names(config: FinetuneConfig, tmp_path: Path) -> None:
    numbered = [str(number) for number in range(1, 18)]
    path = relabeled(config.val_manifest, numbered, tmp_path)
    _, named = read_label_sets(config, SILENT)
    _, val = read_label_sets(replace(config, val_manifest=path), SILENT)
    np.testing.assert_array_equal(val.points, named.points)


def test_views_are_twice_as_large_where_they_will_be_augmented(config: FinetuneConfig) -> None:
    _, val = read_label_sets(config, SILENT)
    config = replace(config, image_size=64)
    plain, kept = read_views(config, val, vary=False, reporter=SILENT)
    varied, _ = read_views(config, val, vary=True, reporter=SILENT)
    assert (plain.pixels.shape, varied.pixels.shape) == ((6, 64, 64, 3), (6, 128, 128, 3))
    assert kept.manifest.paths == val.manifest.paths
    assert (varied.columns["window"][:, 2:] >= plain.columns["window"][:, 2:]).all()
    assert list((config.run_dir / ".cache").glob("pixels-*"))


def test_a_detector_starts_from_its_teacher_or_from_its_seed(config: FinetuneConfig, teacher: Path) -> None:
    names, notes = ("top", "lobe"), []
    model, settled = build_detector(config, names, note=notes.append)
    mirrored = "right ears are mirrored, as this teacher estimates them, and predictions are mirrored back"
    assert notes == [f"teacher {teacher}", mirrored]
    assert build_detector(replace(config, view="picture"), names, note=notes.append)[0].laterality is None
    assert notes[2:] == [f"teacher {teacher}"]
    assert (settled.latent_dim, settled.image_size, settled.point_names) == (8, 64, names)
    weights = Checkpoint.open(teacher).teacher().encoder.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.encoder.state_dict().items())
    random = replace(config, init="none", latent_dim=8, teacher_size=64, encoder="resnet18")
    first, again, other = (build_detector(replace(random, seed=seed), names)[0].state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["encoder.mu_head.weight"], other["encoder.mu_head.weight"])
    with pytest.raises(ConfigError, match="`weights` must be pretrained or a file if `init` is imagenet, got none"):
        read_initial_trunk(replace(random, init="imagenet", weights="none").settled(None, names))
