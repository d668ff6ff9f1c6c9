"""Exported files compute what their checkpoint computes, without torch; files that do not are never delivered."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from running import ear, fails

from earcli import EarVAE
from earcli.checkpoints.weights import fingerprint
from earcli.data.batches import as_images
from earcli.data.decoding import sample_crops
from earcli.data.images import read_crop
from earcli.data.manifest import read_manifest
from earcli.errors import CheckpointError, DataError, ExportError
from earcli.exporting import export as exporting
from earcli.exporting import onnx as onnx_writer
from earcli.exporting.metadata import ExportMetadata
from earcli.exporting.parity import TOLERANCES, OutputError, Parity, check_parity, compare_outputs
from earcli.exporting.parts import make_part
from earcli.exporting.runtime import OnnxModel, to_images

DOCS = Path(__file__).parents[1] / "docs"
WHOLE_PICTURE = np.full(4, np.nan)
NO_TORCH = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "earcli"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
"""


def exported(teacher: Path, *options: str) -> Path:
    result = ear("export", "--checkpoint", teacher, *options)
    assert result.exit_code == 0, result.output
    return teacher.parents[1] / "export"


@pytest.fixture(scope="module")
def encoder(teacher: Path) -> Path:
    return exported(teacher) / "encoder.onnx"


@pytest.fixture(scope="module")
def images(ears: Path) -> np.ndarray:
    return to_images(sample_crops(read_manifest(ears / "val_teacher.npy"), 64, 5, 2))


def test_onnx_computes_what_the_checkpoint_computes(teacher: Path, encoder: Path, images: np.ndarray) -> None:
    session = onnxruntime.InferenceSession(encoder)
    model = EarVAE.load_from_checkpoint(teacher)
    for batch in (images[:1], images[:2], images):
        mu, logvar = session.run(["mu", "logvar"], {"images": batch})
        with torch.no_grad():
            expected = model.encoder(torch.from_numpy(batch))
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


def test_the_ten_lines_of_the_guide_run_without_torch(encoder: Path, teacher: Path, ears: Path, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(import numpy.*?)```", (DOCS / "export.md").read_text(encoding="utf-8"), re.S)
    assert len([line for line in code.splitlines() if line]) == 10
    picture = ears / read_manifest(ears / "val_teacher.npy").paths[0]
    (tmp_path / "encoder.onnx").write_bytes(encoder.read_bytes())
    (tmp_path / "ear.jpg").write_bytes(picture.read_bytes())
    result = subprocess.run([sys.executable, "-c", NO_TORCH + code], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    printed = [float(word) for word in result.stdout.removeprefix("embedding: ").split()]
    pixels = torch.from_numpy(read_crop(picture, WHOLE_PICTURE, 64).copy()).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = EarVAE.load_from_checkpoint(teacher).encode(as_images(pixels))[0]
    np.testing.assert_allclose(printed, expected.numpy(), rtol=1e-4, atol=1e-5)
    blocked = subprocess.run([sys.executable, "-c", NO_TORCH + "import torch"], capture_output=True, text=True)
    assert "torch is blocked" in blocked.stderr


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


def test_a_torch_archive_gives_every_feature_map_by_name(teacher: Path, images: np.ndarray) -> None:
    archive = exported(teacher, "--format", "pt2", "--part", "features") / "features.pt2"
    notes = {"ear.json": ""}
    module = torch.export.load(archive, extra_files=notes).module()
    expected = EarVAE.load_from_checkpoint(teacher).encoder.extract_features(torch.from_numpy(images))
    found = module(torch.from_numpy(images))
    assert list(found) == list(expected)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
    assert json.loads(notes["ear.json"])["part"] == "features"


def test_a_folder_of_safetensors_is_the_same_teacher(teacher: Path, images: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "teacher"
    folder.mkdir()
    (folder / "config.json").write_text("an earlier export, which this one replaces")
    exported(teacher, "--format", "safetensors", "--part", "vae", "-o", str(folder))
    model = EarVAE.from_pretrained(folder)
    assert not model.training
    assert fingerprint(model.state_dict()) == fingerprint(EarVAE.load_from_checkpoint(teacher).state_dict())
    with torch.no_grad():
        assert torch.equal(
            model(torch.from_numpy(images)).reconstruction,
            EarVAE.load_from_checkpoint(teacher)(torch.from_numpy(images)).reconstruction,
        )
    assert 'EarVAE.from_pretrained("teacher")' in (folder / "README.md").read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"teacher"}
    (folder / "notes.txt").write_text("mine")
    fails(
        ear("export", "--checkpoint", teacher, "--format", "safetensors", "--part", "vae", "-o", folder),
        "holds notes.txt, which ear did not write",
    )
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_folder_that_is_damaged_or_partial_is_refused(teacher: Path, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    exported(teacher, "--format", "safetensors", "--part", "decoder", "-o", str(folder))
    with pytest.raises(CheckpointError, match="holds only the decoder"):
        EarVAE.from_pretrained(folder)
    facts = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**facts, "part": "vae"}))
    with pytest.raises(CheckpointError, match="weights are missing"):
        EarVAE.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({**facts, "image_size": 10**6}))
    with pytest.raises(CheckpointError, match="`image_size` must be"):
        EarVAE.from_pretrained(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged or was not written by ear"):
        EarVAE.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(facts))
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        EarVAE.from_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"no config\.json.*local folder"):
        EarVAE.from_pretrained("someone/teacher")


def test_what_computes_something_else_is_not_kept(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = exporting.write_folder

    def spoil(part: Any, folder: Path, facts: ExportMetadata) -> None:
        spoilt = make_part(EarVAE.load_from_checkpoint(teacher), part.name)
        with torch.no_grad():
            spoilt.module.encoder.mu_head.bias[0] += 0.1
        write(spoilt, folder, facts)

    monkeypatch.setattr(exporting, "write_folder", spoil)
    target = tmp_path / "out" / "teacher"
    result = ear("export", "--checkpoint", teacher, "--format", "safetensors", "--part", "vae", "-o", target)
    fails(result, "teacher does not compute the same as the checkpoint", "reconstruction has a relative error of")
    assert list(target.parent.iterdir()) == []


def test_closeness_is_what_its_formulas_say() -> None:
    b = np.array([[3.0, 4.0], [0.0, 10.0]], np.float32)
    a = np.array([[3.0, 4.0], [10.0, 0.0]], np.float32)
    assert compare_outputs(a, b) == OutputError(10.0, 1.0, 0.0)
    assert compare_outputs(b, b) == OutputError(0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("value", "psnr", "message"),
    [
        (OutputError(0.1, 2e-4, 1.0), 90.0, "mu has a relative error of 2.0e-04, expected at most 1e-04"),
        (OutputError(0.1, 1e-5, 0.9), 90.0, "mu has a cosine of 0.900000"),
        (OutputError(0.1, 1e-5, 1.0), 20.0, "reconstructions agree to 20.0 dB"),
        (OutputError(float("nan"), float("nan"), float("nan")), None, "mu has a relative error of nan"),
    ],
)
def test_each_figure_has_its_tolerance(value: OutputError, psnr: float | None, message: str) -> None:
    with pytest.raises(ExportError, match=re.escape(message)):
        check_parity(Parity({"mu": value}, psnr, 1), TOLERANCES["fp32"], "x.onnx")


def test_weights_over_two_gigabytes_go_beside_the_file(
    teacher: Path, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_writer, "ONE_FILE_BYTES", 1000)
    target = tmp_path / "d.onnx"
    exported(teacher, "--part", "decoder", "-o", str(target))
    assert {p.name for p in tmp_path.iterdir()} == {"d.onnx", "d.onnx.data"}
    z = np.zeros((3, 8), np.float32)
    assert OnnxModel(target)(z)["reconstruction"].shape == (3, 3, 64, 64)
    fails(ear("export", "--checkpoint", teacher, "--precision", "int8", "-o", tmp_path / "q.onnx"), "exceeds 2 GB")


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


def test_a_sample_passes_over_what_cannot_be_read(ears: Path, tmp_path: Path) -> None:
    manifest = read_manifest(ears / "val_teacher.npy")
    good = sample_crops(manifest, 64, 9, 2)  # of 6
    assert good.shape == (9, 64, 64, 3)
    for name in manifest.paths:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.open(ears / name).save(tmp_path / name, quality=95)
    (tmp_path / manifest.paths[1]).write_bytes(b"")
    moved = read_manifest(ears / "val_teacher.npy", tmp_path)
    assert sample_crops(moved, 64, 6, 2).shape == (6, 64, 64, 3)
    with pytest.raises(DataError, match="None of 1 pictures"):
        sample_crops(moved.subset([1]), 64, 6, 2)
