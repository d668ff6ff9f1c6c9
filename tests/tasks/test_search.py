"""Tests of `earcli/tasks/search.py`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from earcli.data.embeddings import Embeddings, EncoderInfo, read_embeddings, write_embeddings
from earcli.errors import CheckpointError, ConfigError, DataError
from earcli.reporting.sheets import GAP, LINE, SIDE
from earcli.tasks.search import SHEET_QUERIES, _search, search

INFO = EncoderInfo("00ff", "their.ckpt", "encoder", "fp32", 64)


def on_a_circle(degrees: list[float], subjects: list[str], names: str = "") -> Embeddings:
    """Embeddings of pictures that are gone, in two dimensions."""
    radians = np.deg2rad(degrees)
    values = np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
    paths = [f"/gone/{names}{number}.jpg" for number in range(len(degrees))]
    return Embeddings(values, paths, np.full((len(degrees), 4), np.nan), subjects, None, INFO)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"k": 0}, "`k` must be 1 or more, got 0"),
        ({"num_workers": 0}, "`num_workers` must be 1 or more, got 0"),
        ({"output": "sheet.jpg"}, r"`output` must end in \.png, got sheet\.jpg"),
    ],
)
def test_a_value_out_of_range_is_refused_before_the_index_is_read(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        search("nowhere.npz", ["nowhere.jpg"], **parameters)


def test_an_index_of_another_encoder_is_refused(index: Path, teacher: Path, people: Path, tmp_path: Path) -> None:
    known, path = read_embeddings(index), tmp_path / "other.npz"
    write_embeddings(path, replace(known, encoder=INFO))
    with pytest.raises(CheckpointError, match=r"was made by their\.ckpt \(weights 00ff\), not by .* \(weights "):
        search(path, [people], checkpoint=teacher)
    write_embeddings(path, replace(known, encoder=replace(INFO, part="decoder")))
    with pytest.raises(DataError, match="holds 'decoder', expected encoder or features"):
        search(path, [people], checkpoint=teacher)
    assert [item.name for item in tmp_path.iterdir()] == ["other.npz"]


def test_neighbors_come_with_the_names_that_are_known(index: Path, teacher: Path, tmp_path: Path) -> None:
    known, path = read_embeddings(index), tmp_path / "ears.npz"
    write_embeddings(path, replace(known, subjects=["", *known.subjects[1:]]))
    result = search(path, [known.paths[1]], k=5, checkpoint=teacher)
    (answer,) = result.queries
    assert answer["query"] == known.paths[1]
    names = {hit["path"]: hit["subject"] for hit in answer["neighbors"]}
    rows = [0, 2, 3, 4, 5]
    assert names == {known.paths[row]: known.subjects[row] if row else None for row in rows}
    assert result.to_dict() == {
        "index": str(path),
        "metric": "cosine",
        "queries": result.queries,
        "sheet": str(tmp_path / "ears-search.png"),
    }
    with Image.open(result.sheet) as sheet:
        assert sheet.width == GAP + 6 * (SIDE + GAP)


def test_only_the_first_queries_are_drawn(tmp_path: Path) -> None:
    known = on_a_circle([0.0, 90.0, 180.0], ["Ann", "", "Bob"])
    asked = on_a_circle([89.0] * (SHEET_QUERIES + 3), [""] * (SHEET_QUERIES + 3), "query")
    results = _search(known, asked, 2, "cosine", tmp_path / "sheet.png")
    assert len(results) == SHEET_QUERIES + 3
    first, second = results[-1]["neighbors"]
    assert (first["path"], first["subject"], second["path"]) == ("/gone/1.jpg", None, "/gone/0.jpg")
    assert second["distance"] == pytest.approx(1 - np.cos(np.deg2rad(89)), abs=1e-6)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height == GAP + SHEET_QUERIES * (SIDE + LINE + GAP)


def test_an_identification_counts_by_hand(tmp_path: Path) -> None:
    known = on_a_circle([0.0, 10.0, 15.0, 90.0, 12.0], ["Ann", "Ann", "Bob", "Bob", ""])
    write_embeddings(tmp_path / "ears.npz", known)
    result = search(tmp_path / "ears.npz", output=tmp_path / "sheet.png")
    found = result.identification
    assert found is not None
    assert (found.pictures, found.people, found.genuine, found.impostor, found.sampled) == (4, 2, 2, 4, False)
    assert found.cmc[:3] == [0.5, 0.75, 1.0]  # the second Ann is found at rank 2, the first Bob at rank 3
    assert (found.rank_1, found.auc) == (0.5, 0.625)
    assert found.most_alike_of_two_people[0] == ["/gone/1.jpg", "/gone/2.jpg"]
    assert found.least_alike_of_one_person[0] == ["/gone/2.jpg", "/gone/3.jpg"]
    assert result.to_dict()["rank_1"] == 0.5
    assert {path.name for path in tmp_path.iterdir()} == {"ears.npz", "sheet.png", "sheet-cmc.png"}
