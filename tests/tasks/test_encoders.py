"""Tests of `earcli/tasks/encoders.py`."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.data.batches import as_images
from earcli.data.embeddings import Embeddings, EncoderInfo
from earcli.data.images import read_crop
from earcli.data.manifest import read_manifest
from earcli.data.uncached import GRAY
from earcli.errors import CheckpointError, ConfigError
from earcli.exporting.metadata import ExportMetadata
from earcli.reporting.sheets import SIDE
from earcli.tasks.encoders import make_tiles, open_embedder


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


def write_onnx(path: Path, checkpoint: str = "best.ckpt") -> Path:
    """An ONNX file of `features` whose output is twice its input."""
    shape = ["batch", 3, 64, 64]
    graph = helper.make_graph(
        [helper.make_node("Add", ["images", "images"], ["stride32"])],
        "graph",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("stride32", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    metadata = ExportMetadata("features", "fp32", 64, 8, "resnet18", "00ff", "", checkpoint)
    helper.set_model_props(model, metadata.to_text())
    onnx.save(model, path)
    return path


def test_a_checkpoint_gives_posterior_means_or_averaged_features(
    teacher: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    checkpoint = Checkpoint.open(teacher)
    model, images = checkpoint.teacher(), as_images(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    with torch.no_grad():
        mu, maps = model.encode(images).numpy(), model.encoder.extract_features(images)["stride32"].numpy()
    encoder = open_embedder(str(teacher), run_dir=tmp_path, backend=None, part="encoder", device="cpu")
    features = open_embedder(str(teacher), run_dir=tmp_path, backend="torch", part="features", device="cpu")
    np.testing.assert_allclose(encoder.run(pixels), mu, rtol=1e-4, atol=1e-5)
    assert maps.shape == (3, 512, 2, 2)
    np.testing.assert_allclose(features.run(pixels), maps.reshape(3, 512, 4).sum(2) / 4, rtol=1e-4, atol=1e-5)
    assert encoder.info == EncoderInfo(checkpoint.fingerprint, str(teacher), "encoder", "fp32", 64)
    assert features.info == EncoderInfo(checkpoint.fingerprint, str(teacher), "features", "fp32", 64)


def test_features_of_an_onnx_file_are_averaged_over_positions(pixels: np.ndarray, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "features.onnx")
    embedder = open_embedder(str(path), run_dir=tmp_path, backend=None, part="features", device="cpu")
    np.testing.assert_allclose(embedder.run(pixels), 2 * (pixels.mean(axis=(1, 2)) / 127.5 - 1), atol=1e-5)
    assert embedder.info == EncoderInfo("00ff", str(path), "features", "fp32", 64)


def test_an_onnx_file_of_another_part_or_for_torch_is_refused(tmp_path: Path) -> None:
    path = str(write_onnx(tmp_path / "features.onnx"))
    with pytest.raises(CheckpointError, match=r"holds the features, which has no output mu\. Export the encoder"):
        open_embedder(path, run_dir=tmp_path, backend=None, part="encoder", device="cpu")
    with pytest.raises(ConfigError, match=r"`backend` torch cannot run .*features\.onnx\. Give `backend` onnx"):
        open_embedder(path, run_dir=tmp_path, backend="torch", part="features", device="cpu")


def test_an_onnx_file_must_come_from_the_checkpoint_in_its_run(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "ear_vae" / "version_0"
    for name in ("checkpoints", "export"):
        (run / name).mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").touch()
    wanted: dict[str, Any] = {"run_dir": tmp_path / "runs", "backend": "onnx", "part": "features", "device": "cpu"}
    with pytest.raises(CheckpointError, match=r"features\.onnx does not exist\. Export it: ear export --part features"):
        open_embedder("last.ckpt", **wanted)
    path = write_onnx(run / "export" / "features.onnx")
    with pytest.raises(CheckpointError, match=r"was exported from best\.ckpt, not from last\.ckpt\. Export again"):
        open_embedder("last.ckpt", **wanted)
    path.unlink()  # it may be mapped into memory
    write_onnx(path, "last.ckpt")
    assert open_embedder("last.ckpt", **wanted).info.checkpoint == str(path)


def test_a_picture_that_is_gone_is_gray_and_says_why(ears: Path) -> None:
    manifest = read_manifest(ears / "val_teacher.npy")
    paths = [str(manifest.locate(0)), "/nowhere/gone.jpg"]
    info = EncoderInfo("00ff", "best.ckpt", "encoder", "fp32", 64)
    embeddings = Embeddings(np.zeros((2, 3), np.float32), paths, manifest.boxes[:2], ["", ""], None, info)
    gone, kept = make_tiles(embeddings, [1, 0], ["first", "second"])
    assert gone.caption == "no such file"
    assert (gone.image == GRAY).all()
    assert kept.caption == "second"
    np.testing.assert_array_equal(kept.image, read_crop(manifest.locate(0), manifest.boxes[0], SIDE))
