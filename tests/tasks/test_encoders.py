"""Tests of `earcli/tasks/encoders.py`."""

from pathlib import Path

import numpy as np
import pytest
import torch

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.data.batches import as_images
from earcli.data.embeddings import Embeddings, EncoderInfo
from earcli.data.images import read_crop
from earcli.data.manifest import read_manifest
from earcli.data.uncached import GRAY
from earcli.errors import CheckpointError, ConfigError
from earcli.reporting.sheets import SIDE
from earcli.tasks.encoders import make_tiles, open_embedder
from earcli.tasks.export import export


@pytest.fixture(scope="module")
def pixels(ears: Path) -> np.ndarray:
    manifest = read_manifest(ears / "val_teacher.npy")
    return np.stack([read_crop(manifest.locate(row), manifest.boxes[row], 64) for row in range(3)])


@pytest.fixture(scope="module")
def onnx(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder of the teacher as an ONNX file, outside of any run."""
    folder = tmp_path_factory.mktemp("onnx")
    checkpoint = folder / "teacher.ckpt"
    checkpoint.write_bytes(teacher.read_bytes())
    export(checkpoint, output=folder / "e.onnx")
    return folder / "e.onnx"


def test_features_are_the_last_map_averaged_over_positions(teacher: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    embedder = open_embedder(str(teacher), run_dir=tmp_path, backend=None, part="features", device="cpu")
    model = Checkpoint.open(teacher).teacher()
    with torch.no_grad():
        images = as_images(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        maps = model.encoder.extract_features(images)["stride32"].numpy()
    assert maps.shape == (3, 512, 2, 2)
    expected = maps.reshape(3, 512, 4).sum(2) / 4
    np.testing.assert_allclose(embedder.run(pixels), expected, rtol=1e-4, atol=1e-5)
    assert (embedder.info.part, embedder.info.image_size) == ("features", 64)
    assert embedder.info.fingerprint == Checkpoint.open(teacher).fingerprint


def test_both_runtimes_give_the_same_vectors(onnx: Path, teacher: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    by_onnx = open_embedder(str(onnx), run_dir=tmp_path, backend=None, part="encoder", device="cpu")
    by_torch = open_embedder(str(teacher), run_dir=tmp_path, backend="torch", part="encoder", device="cpu")
    np.testing.assert_allclose(by_onnx.run(pixels), by_torch.run(pixels), rtol=1e-4, atol=1e-5)
    assert by_onnx.info.fingerprint == by_torch.info.fingerprint
    with pytest.raises(CheckpointError, match="holds the encoder, which has no output stride32"):
        open_embedder(str(onnx), run_dir=tmp_path, backend="onnx", part="features", device="cpu")
    with pytest.raises(ConfigError, match=r"`backend` torch cannot run .*e.onnx. Give `backend` onnx"):
        open_embedder(str(onnx), run_dir=tmp_path, backend="torch", part="encoder", device="cpu")


def test_an_onnx_file_must_come_from_the_checkpoint_in_its_run(onnx: Path, teacher: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "ear_vae" / "version_0"
    (run / "checkpoints").mkdir(parents=True)
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(teacher.read_bytes())
    wanted = {"run_dir": tmp_path / "runs", "backend": "onnx", "part": "encoder", "device": "cpu"}
    with pytest.raises(CheckpointError, match=r"encoder.onnx does not exist. Export it: ear export"):
        open_embedder("last.ckpt", **wanted)
    (run / "export").mkdir()
    (run / "export" / "encoder.onnx").write_bytes(onnx.read_bytes())
    with pytest.raises(CheckpointError, match=r"was exported from teacher.ckpt, not from last.ckpt. Export again"):
        open_embedder("last.ckpt", **wanted)


def test_a_picture_that_is_gone_is_gray_and_says_why(ears: Path) -> None:
    manifest = read_manifest(ears / "val_teacher.npy")
    paths = [str(manifest.locate(0)), "/nowhere/gone.jpg"]
    info = EncoderInfo("0" * 16, "t.ckpt", "encoder", "fp32", 64)
    embeddings = Embeddings(np.zeros((2, 3), np.float32), paths, manifest.boxes[:2], ["", ""], None, info)
    gone, kept = make_tiles(embeddings, [1, 0], ["first", "second"])
    assert gone.caption == "no such file"
    assert (gone.image == GRAY).all()
    assert kept.caption == "second"
    np.testing.assert_array_equal(kept.image, read_crop(manifest.locate(0), manifest.boxes[0], SIDE))
