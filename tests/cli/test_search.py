"""Tests of `earcli/cli/search.py`."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from running import ear, fails

from earcli.data.embeddings import read_embeddings, write_embeddings
from earcli.reporting.sheets import SIDE


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
