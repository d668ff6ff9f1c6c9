"""Tests of `earcli/analysis/retrieval.py`."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf
from sklearn.metrics import adjusted_rand_score

from earcli.analysis.retrieval import cluster, find_neighbors
from earcli.data.embeddings import Embeddings, EncoderInfo
from earcli.errors import DataError

ORIGIN = EncoderInfo("0123456789abcdef", "best.ckpt", "encoder", "fp32", 64)


def make_vectors(values: np.ndarray, subjects: list[str] | None = None) -> Embeddings:
    count = len(values)
    paths = [f"/ears/{number}.jpg" for number in range(count)]
    names = [""] * count if subjects is None else subjects
    return Embeddings(values.astype(np.float32), paths, np.full((count, 4), np.nan), names, None, ORIGIN)


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
