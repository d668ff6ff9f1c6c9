"""Embeddings: gathered, written, read back, grouped, searched; with torch and without."""

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earcli.data.embeddings import read_embeddings, write_embeddings
from earcli.errors import DataError


def test_csv_and_parquet_hold_the_same_numbers(index: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")
    vectors = read_embeddings(index)
    vectors = replace(vectors, subjects=["=1+1", *vectors.subjects[1:]])
    write_embeddings(tmp_path / "e.csv", vectors)
    write_embeddings(tmp_path / "e.parquet", vectors)
    with (tmp_path / "e.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    values = np.array([[row[f"e{number}"] for number in range(11)] for row in rows], np.float32)
    assert np.array_equal(values, vectors.values)
    assert [row["path"] for row in rows] == vectors.paths
    assert rows[0]["subject"] == "'=1+1"  # no spreadsheet computes it
    table = parquet.read_table(tmp_path / "e.parquet")
    assert np.array_equal(np.array(table["embedding"].to_pylist(), np.float32), vectors.values)
    assert table["subject"].to_pylist() == vectors.subjects
    assert table["cluster"].to_pylist() == vectors.clusters.tolist()
    assert table.schema.metadata[b"ear.fingerprint"].decode() == vectors.encoder.fingerprint


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
