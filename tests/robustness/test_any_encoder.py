"""Every kind of encoder through every command: train, stop, resume, evaluate, eigenears, export, fine-tune."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm_models  # noqa: F401 (registers the tiny models)
import torch
from fitting import assert_same, fit, interrupt_at, table, weights

import earcli
from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import RunFolder
from earcli.config.teacher import TrainConfig
from earcli.errors import InterruptedTraining

KINDS = {
    "ResNet": {"encoder": "resnet18"},
    "convolutional": {"encoder": "timm:test_convnext"},
    "transformer": {"encoder": "timm:tiny_dinov2", "layer_decay": 0.7},
    "enlarged": {"encoder": "timm:tiny_sam", "encoder_size": 128, "low_memory": True},
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind in ("ResNet", "convolutional"))) for kind in KINDS]
)
def test_an_encoder_trains_resumes_evaluates_exports_and_fine_tunes(
    kind: str, config: TrainConfig, ears: Path, tmp_path: Path
) -> None:
    config = replace(config, **KINDS[kind])
    expected, _ = fit(replace(config, run_name="whole"))
    with pytest.raises(InterruptedTraining):
        fit(config, interrupt_at(1, 1))
    last = RunFolder(tmp_path / "runs" / config.run_name / "version_0").last
    run = earcli.resume(last).run
    resumed = Checkpoint.open(last).run
    assert resumed is not None
    assert_same(weights(expected), weights(resumed))
    assert table(expected) == table(resumed)

    val = ears / "val_teacher.npy"
    assert np.isfinite(earcli.evaluate(last, manifest=val).metrics["reconstruction"]["psnr"]["value"])
    assert earcli.eigenears(last, manifest=val, components=2).output.is_dir()
    exported = earcli.export(last, format="onnx", output=tmp_path / "encoder.onnx", manifest=val)
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    session = onnxruntime.InferenceSession(exported.path)
    (codes, *_) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        mean = Checkpoint.open(last).teacher().encode(images)
    np.testing.assert_allclose(codes, mean.numpy(), rtol=1e-3, atol=1e-3)

    labels = ears / "val_landmarks.coco.json"
    result = earcli.finetune(
        checkpoint=str(last), train_manifest=labels, val_manifest=labels, epochs=1, epoch_steps=1, batch_size=4,
        precision="32", run_dir=tmp_path / "runs", ema_decay=0,
    )  # fmt: skip
    assert result.config.encoder == config.encoder
    assert 0 < result.metrics["val/nme"] < 1
    assert run == resumed.path
