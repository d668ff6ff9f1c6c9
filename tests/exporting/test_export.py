"""Exported files compute what their checkpoint computes, without torch; files that do not are never delivered."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from running import ear, fails

from earcli import EarVAE
from earcli.checkpoints.weights import fingerprint
from earcli.errors import CheckpointError
from earcli.exporting.runtime import OnnxModel


def test_onnx_computes_what_the_checkpoint_computes(teacher: Path, encoder: Path, images: np.ndarray) -> None:
    session = onnxruntime.InferenceSession(encoder)
    model = EarVAE.load_from_checkpoint(teacher)
    for batch in (images[:1], images[:2], images):
        mu, logvar = session.run(["mu", "logvar"], {"images": batch})
        with torch.no_grad():
            expected = model.posterior(torch.from_numpy(batch))
        for a, b in ((mu, expected.mu.numpy()), (logvar, expected.logvar.numpy())):
            assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()
    assert [item.name for item in session.get_inputs()] == ["images"]
    assert session.get_inputs()[0].shape == ["batch", 3, 64, 64]
    notes = session.get_modelmeta().custom_metadata_map
    expected_notes = {"image_size": "64", "latent_dim": "8", "part": "encoder", "precision": "fp32"}
    assert expected_notes.items() <= notes.items()
    assert notes["run"] == "ear_vae/version_0"
    assert notes["fingerprint"] == fingerprint(model.state_dict())
    assert onnx.load(encoder).opset_import[0].version == 20
    onnx.checker.check_model(encoder, full_check=True)
    assert not encoder.with_name("encoder.onnx.data").exists()
    record = json.loads((encoder.parent / "parity.json").read_text())["encoder.onnx"]
    assert record["outputs"]["mu"]["relative"] <= 1e-4
    assert (record["bytes"], record["images"]) == (encoder.stat().st_size, 20)


def test_every_mistake_is_one_line(teacher: Path, encoder: Path, tmp_path: Path) -> None:
    export = ["export", "--checkpoint", teacher]
    fails(ear("export", "--run-dir", tmp_path), "No run in", "has best")
    fails(ear(*export, "--format", "pt2", "--precision", "int8"), "--precision must be fp32 if --format is pt2")
    fails(ear(*export, "--manifest", tmp_path / "no.npy"), "no.npy does not exist")
    fails(ear(*export, "--root-dir", tmp_path), "None of", "no such file")
    fails(ear(*export, "-o", tmp_path), "is a folder, expected a file")
    (tmp_path / "file").write_text("")
    fails(ear(*export, "--format", "safetensors", "--part", "vae", "-o", tmp_path / "file" / "x"), "cannot be written")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(encoder.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="is damaged or not an ONNX file"):
        OnnxModel(broken)
    with pytest.raises(CheckpointError, match="does not exist"):
        OnnxModel(tmp_path / "none.onnx")
    foreign = onnx.load(encoder)
    del foreign.metadata_props[:]
    onnx.save(foreign, broken)
    with pytest.raises(CheckpointError, match="was not exported by ear"):
        OnnxModel(broken)
