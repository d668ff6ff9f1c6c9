"""Tests of `earcli/cli/embed.py`."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from running import ear, fails

from earcli import EarVAE
from earcli.data.batches import as_images
from earcli.data.embeddings import EncoderInfo, read_embeddings, write_embeddings
from earcli.data.images import read_crop

ORIGIN = EncoderInfo("0123456789abcdef", "best.ckpt", "encoder", "fp32", 64)


def test_an_index_holds_the_posterior_means_in_order(index: Path, teacher: Path, people: Path) -> None:
    vectors = read_embeddings(index)
    model = EarVAE.load_from_checkpoint(teacher)
    assert vectors.paths == sorted(str(path) for path in people.rglob("*.jpg") if path.stat().st_size > 3)
    assert vectors.subjects == [Path(path).parent.name for path in vectors.paths]
    pixels = np.stack([read_crop(Path(path), np.full(4, np.nan), 64) for path in vectors.paths])
    with torch.no_grad():
        expected = model.encode(as_images(torch.from_numpy(pixels).permute(0, 3, 1, 2)))
    np.testing.assert_allclose(vectors.values, expected.numpy(), atol=1e-5)
    with (index.parent / "ears-skipped.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == ["broken.jpg"]
    sheets = sorted(index.with_name("ears-clusters").iterdir())
    assert [sheet.name for sheet in sheets] == ["cluster_00.png", "cluster_01.png"]
    counts = np.bincount(vectors.clusters)
    assert counts.sum() == 6
    assert list(counts) == sorted(counts, reverse=True)


@pytest.mark.slow
def test_onnx_gives_the_same_vectors_without_torch(teacher: Path, index: Path, people: Path, tmp_path: Path) -> None:
    run = ["--run-dir", str(teacher.parents[3])]
    exported = teacher.parents[1] / "export" / "features.onnx"
    exported.unlink(missing_ok=True)
    embed = ["embed", people, "-o", tmp_path / "f.npz", "--backend", "onnx", "--part", "features", *run]
    fails(ear(*embed), "features.onnx does not exist. Export it: ear export --part features")
    assert ear("export", "--part", "features", *run).exit_code == 0
    code = (
        "import sys; from earcli.cli.app import app; app(sys.argv[1:], standalone_mode=False); "
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *map(str, embed)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"
    found = read_embeddings(tmp_path / "f.npz")
    ear("embed", people, "-o", tmp_path / "t.npz", "--part", "features", *run)
    expected = read_embeddings(tmp_path / "t.npz")
    assert found.values.shape == (6, 512)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-3, atol=1e-4)
    assert found.encoder.fingerprint == expected.encoder.fingerprint == read_embeddings(index).encoder.fingerprint
    fails(ear(*embed[:4], "--checkpoint", exported), "holds the features, which has no output mu")
    fails(ear(*embed[:4], "--checkpoint", exported, "--backend", "torch"), "--backend torch cannot run")
    moved = teacher.rename(teacher.with_name("last.ckpt"))
    try:
        fails(ear(*embed, "--checkpoint", "last.ckpt"), "was exported from ear_vae-epoch=000", "not from last.ckpt")
    finally:
        moved.rename(teacher)


def test_every_mistake_is_one_line(index: Path, teacher: Path, people: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("")
    picture = read_embeddings(index).paths[0]
    embed = ["--checkpoint", teacher, "-o", tmp_path / "e.npz"]
    search = ["--index", index, "--checkpoint", teacher]
    fails(ear("embed", tmp_path / "empty", *embed), "No images in", "expected .jpg", "got .txt (1)")
    fails(ear("embed", tmp_path / "nowhere", *embed), "nowhere does not exist")
    fails(ear("embed", people / "person 1" / "broken.jpg", *embed), "No picture can be read", "broken.jpg")
    fails(ear("embed", people, *embed, "--clusters", 7), "--clusters must be at most 6, the number of pictures, got 7")
    fails(ear("embed", people, *embed[:2], "-o", tmp_path / "e.txt"), "must end in .npz, .csv or .parquet, got e.txt")
    fails(ear("search", people / "person 1" / "broken.jpg", *search), "No picture can be read")
    fails(ear("search", picture, *search, "-k", 7), "-k must be at most 6, the pictures in the index, got 7")
    fails(ear("search", picture, *search, "-o", tmp_path / "sheet.jpg"), "must end in .png")
    fails(ear("search", picture, "--index", tmp_path / "no.npz"), "no.npz does not exist. Make it with ear embed")
    other = tmp_path / "other.npz"
    write_embeddings(other, replace(read_embeddings(index), encoder=replace(ORIGIN, checkpoint="their.ckpt")))
    fails(
        ear("search", picture, "--index", other, "--checkpoint", teacher),
        "was made by their.ckpt (weights 0123456789abcdef), not by",
        teacher.name,
    )
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no onnx")
    fails(ear("embed", people, "--checkpoint", broken, "-o", tmp_path / "e.npz"), "is damaged or not an ONNX file")
    assert not (tmp_path / "e.npz").exists()
