"""Tests of `earcli/tasks/export.py`."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import RunFolder
from earcli.errors import CheckpointError, ConfigError
from earcli.tasks.export import export


@pytest.fixture
def copy(teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run folder with the teacher, whose exports are verified on ten ears."""
    monkeypatch.setattr("earcli.tasks.export_inputs.PARITY_COUNT", 10)
    run = RunFolder(tmp_path / "runs" / "ear_vae" / "version_0")
    run.checkpoints.mkdir(parents=True)
    os.link(teacher, run.last)
    return run


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"format": "tflite"}, "`format` must be one of onnx, pt2, safetensors, got 'tflite'"),
        ({"part": "head"}, "`part` must be one of encoder, decoder, vae, features, detector, got 'head'"),
        ({"precision": "bf16"}, "`precision` must be one of fp32, fp16, int8, got 'bf16'"),
        ({"opset": 17}, "`opset` must be 18 or more, got 17"),
        ({"format": "pt2", "precision": "fp16"}, r"`precision` must be fp32 if `format` is pt2, got fp16\."),
        ({"part": "detector", "precision": "int8"}, "A detector's `format` must be onnx or pt2"),
        ({"part": "detector", "format": "safetensors"}, "A detector's `format` must be onnx or pt2"),
    ],
)
def test_a_choice_that_cannot_be_exported_is_refused_before_anything_is_read(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        export("nowhere.ckpt", **parameters)


def test_an_export_in_the_run_folder_is_recorded_there(copy: RunFolder, teacher: Path) -> None:
    result = export(copy.last, format="safetensors", part="features")
    assert result.path == copy.path / "export" / "features"
    assert result.bytes == sum(path.stat().st_size for path in result.path.iterdir())
    assert (result.part, result.precision, result.format) == ("features", "fp32", "safetensors")
    checkpoint = Checkpoint.open(teacher)
    assert result.fingerprint == checkpoint.fingerprint
    assert result.psnr_db is None, "nothing is decoded"
    assert {values["max_abs"] for values in result.outputs.values()} == {0.0}
    assert json.loads((copy.path / "export" / "parity.json").read_text()) == {"features": result.record}
    assert result.to_dict() == {"path": str(result.path), **result.record}
    weights = checkpoint.teacher().encoder.state_dict()
    found = load_file(result.path / "model.safetensors")
    assert found
    assert all(torch.equal(value, weights[name.removeprefix("encoder.")]) for name, value in found.items())


def test_a_checkpoint_outside_of_a_run_needs_an_output(copy: RunFolder, tmp_path: Path) -> None:
    alone = copy.last.rename(tmp_path / "alone.ckpt")
    with pytest.raises(CheckpointError, match=r"alone\.ckpt lies in no run folder.*Give `output`"):
        export(alone, format="safetensors")
    result = export(alone, format="safetensors", part="features", output=tmp_path / "out" / "mine")
    assert json.loads((tmp_path / "out" / "parity.json").read_text()).keys() == {"mine"}
    assert result.record["run"] == ""


def test_a_teacher_holds_no_detector(copy: RunFolder) -> None:
    with pytest.raises(CheckpointError, match="is a teacher's checkpoint, expected a detector's"):
        export(copy.last, part="detector")
    assert not (copy.path / "export").exists()
