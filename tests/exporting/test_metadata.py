"""Tests of `earcli/exporting/metadata.py`."""

from pathlib import Path

import pytest
import torch

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.weights import fingerprint
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import TrainConfig
from earcli.errors import CheckpointError
from earcli.exporting.metadata import ExportMetadata

TEACHER = TrainConfig(image_size=96, latent_dim=32, encoder="resnet34")
WEIGHTS = {"bias": torch.tensor([1.0, 2.0])}
CONTENT = {"state_dict": {f"model.{name}": value for name, value in WEIGHTS.items()}}
SOURCE = Path("encoder.onnx")


def test_a_teachers_metadata_are_those_of_its_run() -> None:
    path = Path("runs/ear_vae/version_3/checkpoints/last.ckpt")
    metadata = ExportMetadata.of(Checkpoint(path, "teacher", TEACHER, CONTENT), "encoder", "fp16")
    assert (metadata.part, metadata.precision, metadata.points) == ("encoder", "fp16", "")
    assert (metadata.image_size, metadata.latent_dim, metadata.encoder) == (96, 32, "resnet34")
    assert (metadata.run, metadata.checkpoint) == ("ear_vae/version_3", "last.ckpt")
    assert metadata.fingerprint == fingerprint(WEIGHTS)


def test_a_detectors_metadata_have_its_own_side_and_the_names_of_its_points() -> None:
    config = FinetuneConfig(image_size=128).settled(TEACHER, ["tip", "lobe"])
    metadata = ExportMetadata.of(Checkpoint(Path("copied.ckpt"), "detector", config, CONTENT), "detector", "int8")
    assert (metadata.image_size, metadata.points) == (128, "tip,lobe")
    assert (metadata.latent_dim, metadata.encoder) == (32, "resnet34")
    assert (metadata.run, metadata.checkpoint) == ("", "copied.ckpt")


def texts(**changes: str) -> dict[str, str]:
    metadata = ExportMetadata("vae", "fp32", 64, 8, "resnet18", "0f", "ear_vae/version_0", "best.ckpt", "tip,lobe")
    return metadata.to_text() | changes


def test_the_text_in_a_file_gives_the_same_metadata_whatever_else_is_there() -> None:
    metadata = ExportMetadata.from_text(texts(author="someone", ear_version="0.0.1"), SOURCE)
    assert (metadata.image_size, metadata.latent_dim, metadata.ear_version) == (64, 8, "0.0.1")
    assert metadata.to_text() == texts(ear_version="0.0.1")


@pytest.mark.parametrize("name", ["part", "image_size", "latent_dim", "checkpoint"])
def test_a_file_without_metadata_was_not_exported_by_ear(name: str) -> None:
    values = texts()
    del values[name]
    with pytest.raises(CheckpointError, match=r"encoder\.onnx was not exported by ear"):
        ExportMetadata.from_text(values, SOURCE)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("latent_dim", "eight", "was not exported by ear"),
        ("latent_dim", "0", "has 0 latent dimensions, expected 1 or more"),
        ("image_size", "100", "has an image size of 100, expected a multiple of 32 from 64 to 256"),
    ],
)
def test_sizes_that_no_model_has_are_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        ExportMetadata.from_text(texts(**{name: value}), SOURCE)
