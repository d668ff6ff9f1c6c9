"""Embeddings: gathered, written, read back, grouped, searched; with torch and without."""

import csv
import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from running import ear, fails
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf
from sklearn.metrics import adjusted_rand_score

from earcli import EarVAE
from earcli.analysis.retrieval import cluster, find_neighbors
from earcli.data.batches import as_images
from earcli.data.embeddings import Embeddings, EncoderInfo, read_embeddings, write_embeddings
from earcli.data.images import read_crop
from earcli.data.inputs import collect_pictures
from earcli.data.manifest import read_manifest
from earcli.errors import DataError
from earcli.metrics.retrieval import worst_pairs
from earcli.reporting.sheets import SIDE, Tile, contact_sheet

ORIGIN = EncoderInfo("0123456789abcdef", "best.ckpt", "encoder", "fp32", 64)


def make_vectors(values: np.ndarray, subjects: list[str] | None = None) -> Embeddings:
    count = len(values)
    paths = [f"/ears/{number}.jpg" for number in range(count)]
    names = [""] * count if subjects is None else subjects
    return Embeddings(values.astype(np.float32), paths, np.full((count, 4), np.nan), names, None, ORIGIN)


@pytest.fixture(scope="module")
def people(ears: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn ears as a folder per person, with a file that is no picture and one that is broken."""
    folder = tmp_path_factory.mktemp("people") / "set"
    for number, name in enumerate(read_manifest(ears / "val_teacher.npy").paths):
        person = folder / f"person {number % 3}"
        person.mkdir(parents=True, exist_ok=True)
        (person / Path(name).name).write_bytes((ears / name).read_bytes())
    (folder / "person 0" / "notes.txt").write_text("no picture")
    (folder / "person 1" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


@pytest.fixture(scope="module")
def index(teacher: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "ears.npz"
    result = ear("embed", people, "--checkpoint", teacher, "-o", path, "--subject", "folder", "--clusters", 2)
    assert result.exit_code == 0, result.output
    assert "broken.jpg: " in result.stdout
    assert "6 ears, 8 numbers each" in result.stdout
    return path


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


def test_csv_and_parquet_hold_the_same_numbers(index: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")
    vectors = read_embeddings(index)
    vectors = replace(vectors, subjects=["=1+1", *vectors.subjects[1:]])
    write_embeddings(tmp_path / "e.csv", vectors)
    write_embeddings(tmp_path / "e.parquet", vectors)
    with (tmp_path / "e.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    values = np.array([[row[f"e{number}"] for number in range(8)] for row in rows], np.float32)
    assert np.array_equal(values, vectors.values)
    assert [row["path"] for row in rows] == vectors.paths
    assert rows[0]["subject"] == "'=1+1"  # no spreadsheet computes it
    table = parquet.read_table(tmp_path / "e.parquet")
    assert np.array_equal(np.array(table["embedding"].to_pylist(), np.float32), vectors.values)
    assert table["subject"].to_pylist() == vectors.subjects
    assert table["cluster"].to_pylist() == vectors.clusters.tolist()
    assert table.schema.metadata[b"ear.fingerprint"].decode() == vectors.encoder.fingerprint


def test_search_finds_the_nearest_and_not_the_query_itself(index: Path, teacher: Path, tmp_path: Path) -> None:
    known = read_embeddings(index)
    result = ear("search", known.paths[2], "--index", index, "--checkpoint", teacher, "-k", 3, "--json")
    assert result.exit_code == 0, result.output
    (answer,) = json.loads(result.stdout)["queries"]
    a = known.values / np.linalg.norm(known.values, axis=1, keepdims=True)
    distances = 1 - a @ a[2]
    order = [row for row in np.argsort(distances) if row != 2][:3]
    assert [hit["path"] for hit in answer["neighbors"]] == [known.paths[row] for row in order]
    np.testing.assert_allclose([hit["distance"] for hit in answer["neighbors"]], distances[order], atol=1e-5)
    with Image.open(index.with_name("ears-search.png")) as sheet:
        assert sheet.width > 4 * SIDE


def test_mahalanobis_is_that_of_the_shrunk_covariance() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 5)) * [1, 10, 1, 1, 0.1]
    known, asked = make_vectors(values), make_vectors(rng.normal(size=(2, 5)))
    asked = replace(asked, paths=["/q/0.jpg", "/q/1.jpg"])
    inverse = LedoitWolf().fit(known.values).precision_
    for query, (rows, distances) in zip(asked.values, find_neighbors(known, asked, 4, "mahalanobis"), strict=True):
        expected = np.array([mahalanobis(query, value, inverse) for value in known.values])
        assert rows.tolist() == np.argsort(expected)[:4].tolist()
        np.testing.assert_allclose(distances, np.sort(expected)[:4], rtol=1e-5)


def test_mahalanobis_leaves_out_what_never_varies() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 5)).astype(np.float32)
    dead = np.concatenate([values, np.full((40, 2), 3.0, np.float32), values[:, :1]], axis=1)
    for rows, distances in find_neighbors(make_vectors(dead), make_vectors(dead[:2]), 39, "mahalanobis"):
        assert np.isfinite(distances).all()
        assert len(rows) == 39
    with pytest.raises(DataError, match="All 40 embeddings of the index are equal"):
        find_neighbors(make_vectors(np.ones((40, 3))), make_vectors(values[:1, :3]), 1, "mahalanobis")


def test_clusters_find_what_is_apart() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [30, 20, 10])
    values = (rng.normal(size=(60, 4)) + 20 * np.eye(4)[truth]).astype(np.float32)
    labels, distances = cluster(values, 3, seed=0)
    assert adjusted_rand_score(truth, labels) == 1
    assert np.bincount(labels).tolist() == [30, 20, 10]  # the largest first
    center = values[labels == 1].mean(0)
    np.testing.assert_allclose(distances[labels == 1], np.linalg.norm(values[labels == 1] - center, axis=1), rtol=1e-4)


def test_the_worst_pairs_are_those_of_a_full_table() -> None:
    rng = np.random.default_rng(1)
    values, subjects = rng.normal(size=(30, 6)).astype(np.float32), np.arange(30) % 5
    subjects[7] = -1
    alike, unlike = worst_pairs(values, subjects, 3)
    a = values / np.linalg.norm(values, axis=1, keepdims=True)
    pairs = [(float(a[i] @ a[j]), i, j) for i in range(30) for j in range(i + 1, 30) if 7 not in (i, j)]
    impostor = sorted((p for p in pairs if subjects[p[1]] != subjects[p[2]]), reverse=True)[:3]
    genuine = sorted(p for p in pairs if subjects[p[1]] == subjects[p[2]])[:3]
    assert alike == [(i, j) for _, i, j in impostor]
    assert unlike == [(i, j) for _, i, j in genuine]


def test_known_people_are_identified(index: Path, teacher: Path, tmp_path: Path) -> None:
    vectors = read_embeddings(index)
    apart = np.repeat(np.eye(3, 8), 2, axis=0) + 0.01 * np.arange(48).reshape(6, 8)
    path = tmp_path / "apart.npz"
    write_embeddings(path, replace(vectors, values=apart.astype(np.float32)))
    result = ear("search", "--index", path, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["people"], report["pictures"], report["genuine"], report["impostor"]) == (3, 6, 3, 12)
    assert (report["rank_1"], report["auc"], report["eer"]) == (1.0, 1.0, 0.0)
    assert len(report["least_alike_of_one_person"]) == 3
    for name in ("apart-identification.png", "apart-identification-cmc.png"):
        with Image.open(path.with_name(name)) as picture:
            assert picture.width > 2 * SIDE
    write_embeddings(path, replace(vectors, subjects=[""] * 6))
    fails(ear("search", "--index", path), "0 pictures of 0 known people")


def test_every_mistake_is_one_line(index: Path, teacher: Path, people: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("")
    picture = read_embeddings(index).paths[0]
    embed = ["--checkpoint", teacher, "-o", tmp_path / "e.npz"]
    search = ["--index", index, "--checkpoint", teacher]
    fails(ear("embed", tmp_path / "empty", *embed), "No picture in", "expected .jpg", "found 1 .txt")
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


def archive_with(**changes: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    arrays = {
        "embeddings": np.zeros((2, 3), np.float32),
        "paths": np.array(["a", "b"]),
        "boxes": np.full((2, 4), np.nan),
        "subjects": np.array(["", ""]),
        "image_size": np.array(64),
        **{name: np.array("x") for name in ("fingerprint", "checkpoint", "part", "precision")},
        **changes,
    }
    np.savez(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a .npz"),
        (archive_with()[:-200], "is not a .npz"),
        (archive_with(paths=np.array(["a", None], object)), "Object arrays cannot be loaded"),
        (archive_with(paths=np.array(["a"])), "differ in length"),
        (archive_with(paths=np.array([1, 2])), "are not text"),
        (archive_with(embeddings=np.full((2, 3), np.nan, np.float32)), "not finite fp32"),
        (archive_with(embeddings=np.zeros(2, np.float32)), "not finite fp32"),
    ],
)
def test_an_index_that_is_damaged_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "i.npz").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_embeddings(tmp_path / "i.npz")


def test_an_index_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("embeddings.npy", b"\0" * 10_000_000)
    with pytest.raises(DataError, match="the archive is compressed"):
        read_embeddings(tmp_path / "bomb.npz")


def test_sources_are_gathered_in_the_order_given(ears: Path, people: Path) -> None:
    manifest = ears / "val_teacher.npy"
    gathered = collect_pictures([people / "person 2", manifest])
    own = read_manifest(manifest)
    assert len(gathered) == 2 + len(own)
    assert gathered.paths[0].endswith(".jpg")
    assert np.isnan(gathered.boxes[:2]).all()
    assert np.array_equal(gathered.boxes[2:], own.boxes)
    assert [gathered.locate(2 + i) for i in range(len(own))] == [own.locate(i).absolute() for i in range(len(own))]
    assert gathered.subjects is None


def test_a_sheet_shows_its_tiles_where_they_belong() -> None:
    red, blue = (np.full((SIDE, SIDE, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
    sheet = contact_sheet([[Tile(red, "a"), Tile(blue, "a very long name " * 9)], [Tile(blue, "")]])
    middle = SIDE // 2
    assert sheet[middle, middle].tolist() == [255, 0, 0]
    assert sheet[middle, middle + SIDE].tolist() == [0, 0, 255]
    assert sheet[-middle - 20, middle].tolist() == [0, 0, 255]
    assert sheet[-middle - 20, middle + SIDE].tolist() == [255, 255, 255]
