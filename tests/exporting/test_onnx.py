"""Tests of `earcli/exporting/onnx.py`."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exports import exported
from running import ear, fails

from earcli import EarVAE
from earcli.exporting import onnx as onnx_writer
from earcli.exporting.parity import compare_outputs
from earcli.exporting.runtime import OnnxModel


@pytest.mark.slow
def test_int8_and_fp16_stay_close_and_get_small(teacher: Path, encoder: Path, images: np.ndarray) -> None:
    folder = exported(teacher, "--precision", "int8")
    exported(teacher, "--part", "decoder", "--precision", "fp16")
    model = EarVAE.load_from_checkpoint(teacher)
    with torch.no_grad():
        mu = model.encode(torch.from_numpy(images))
        reconstruction = model.decode(mu).numpy()
    quantized = OnnxModel(folder / "encoder-int8.onnx")(images)["mu"]
    assert compare_outputs(quantized, mu.numpy()).cosine >= 0.98
    assert not np.array_equal(quantized, mu.numpy())
    kinds = {node.op_type for node in onnx.load(folder / "encoder-int8.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert (folder / "encoder-int8.onnx").stat().st_size < 0.3 * encoder.stat().st_size
    half = OnnxModel(folder / "decoder-fp16.onnx")(mu.numpy())["reconstruction"]
    assert half.dtype == np.float32
    assert 0 < np.abs(half - reconstruction).max() < 0.02
    weights = onnx.load(folder / "decoder-fp16.onnx").graph.initializer
    assert {w.data_type for w in weights if np.prod(w.dims) > 1000} == {onnx.TensorProto.FLOAT16}


def test_weights_over_two_gigabytes_go_beside_the_file(
    teacher: Path, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_writer, "ONE_FILE_BYTES", 1000)
    target = tmp_path / "d.onnx"
    exported(teacher, "--part", "decoder", "-o", str(target))
    assert {p.name for p in tmp_path.iterdir()} == {"d.onnx", "d.onnx.data"}
    z = np.zeros((3, 11), np.float32)
    assert OnnxModel(target)(z)["reconstruction"].shape == (3, 3, 64, 64)
    fails(ear("export", "--checkpoint", teacher, "--precision", "int8", "-o", tmp_path / "q.onnx"), "exceeds 2 GB")
