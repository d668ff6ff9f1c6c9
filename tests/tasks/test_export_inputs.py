"""Tests of `earcli/tasks/export_inputs.py`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import RunFolder
from earcli.data.images import read_crop
from earcli.data.labels import read_labels
from earcli.data.manifest import read_manifest
from earcli.errors import ManifestError
from earcli.exporting.parts import PartName
from earcli.tasks.export_inputs import ExportInputs, prepare_export


def prepare(checkpoint: Checkpoint, part: PartName, manifest: Path | None = None, *, calibrate: bool) -> ExportInputs:
    return prepare_export(checkpoint, part, calibrate=calibrate, manifest=manifest, root_dir=None, num_workers=1)


def images(path: Path, count: int) -> np.ndarray:
    """`count` crops of a set, over and over, in [-1, 1]."""
    manifest = read_manifest(path)
    rows = [row % len(manifest) for row in range(count)]
    crops = [read_crop(manifest.locate(row), manifest.boxes[row], 64) for row in rows]
    return np.stack(crops).transpose(0, 3, 1, 2) / 127.5 - 1


def test_an_export_is_verified_on_validation_ears_and_calibrated_on_training_ears(ears: Path, teacher: Path) -> None:
    inputs = prepare(Checkpoint.open(teacher), "encoder", calibrate=True)
    np.testing.assert_allclose(inputs.parity, images(ears / "val_teacher.npy", 20), atol=1e-6)
    np.testing.assert_allclose(inputs.calibration, images(ears / "train_teacher.npy", 128), atol=1e-6)
    assert inputs.part.name == "encoder"


def test_a_decoder_gets_posterior_means(ears: Path, teacher: Path) -> None:
    checkpoint = Checkpoint.open(teacher)
    inputs = prepare(checkpoint, "decoder", ears / "train_teacher.npy", calibrate=False)
    assert inputs.calibration is None
    assert inputs.parity.shape == (20, 11)
    first = torch.from_numpy(images(ears / "train_teacher.npy", 1)).float()
    with torch.no_grad():
        np.testing.assert_allclose(inputs.parity[:1], checkpoint.teacher().encode(first), atol=1e-5)


def test_pictures_that_are_gone_name_the_parameter(teacher: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(teacher)
    gone = replace(checkpoint, config=replace(checkpoint.config, train_manifest=tmp_path / "gone.npy"))
    assert prepare(gone, "encoder", calibrate=False).calibration is None
    with pytest.raises(ManifestError, match=r"gone\.npy, which the run of .* names, does not exist\. Give `manifest`"):
        prepare(gone, "encoder", calibrate=True)


def test_a_detector_gets_its_boxes_with_their_margin(ears: Path, detector: Path) -> None:
    checkpoint = Checkpoint.open(RunFolder(detector / "ear_detector" / "version_0").last)
    inputs = prepare(checkpoint, "detector", calibrate=False)
    labels = read_labels(ears / "val_landmarks.coco.json")
    x, y, width, height = labels.manifest.boxes[0]
    left, top = max(round(x - 0.1 * width), 0), max(round(y - 0.1 * height), 0)
    right, bottom = np.minimum(np.rint([x + 1.1 * width, y + 1.1 * height]), labels.sizes[0])
    window = np.array([left, top, right - left, bottom - top])
    crop = read_crop(labels.manifest.locate(0), window, checkpoint.detector_config.side)
    assert (inputs.parity.shape[0], inputs.decode) == (20, None)
    np.testing.assert_allclose(inputs.parity[0], crop.transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)
