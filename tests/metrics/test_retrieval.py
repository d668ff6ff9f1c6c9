"""Identification and verification against scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from torchmetrics.functional.classification import binary_eer

from earcli.errors import DataError
from earcli.metrics import retrieval
from earcli.metrics.retrieval import Metric, cmc_curve, verification, worst_pairs

Array = np.ndarray


@pytest.fixture(scope="module")
def people() -> tuple[Array, Array]:
    """60 pictures of 12 people, hard to tell apart."""
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(12), 5)
    return (rng.standard_normal((12, 8))[subjects] + rng.standard_normal((60, 8))).astype(np.float32), subjects


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_rank_1_is_that_of_a_nearest_neighbor_left_one_out(people: tuple[Array, Array], metric: Metric) -> None:
    model = KNeighborsClassifier(1, metric=metric)
    expected = cross_val_score(model, *people, cv=LeaveOneOut()).mean()
    assert 0.3 < expected < 0.9
    assert cmc_curve(*people, metric=metric)[0] == pytest.approx(expected)


def test_the_curve_is_that_of_the_definition(people: tuple[Array, Array]) -> None:
    embeddings, subjects = people
    scores = cosine_similarity(embeddings)
    np.fill_diagonal(scores, -np.inf)
    hits = subjects[np.argsort(-scores, axis=1)[:, :-1]] == subjects[:, None]
    expected = [hits[:, :k].any(axis=1).mean() for k in range(1, 60)]
    np.testing.assert_allclose(cmc_curve(*people, ranks=100), expected)
    assert len(cmc_curve(*people, ranks=7)) == 7


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_auc_and_eer_agree_with_the_references(people: tuple[Array, Array], metric: Metric) -> None:
    embeddings, subjects = people
    scores = cosine_similarity(embeddings) if metric == "cosine" else -(euclidean_distances(embeddings) ** 2)
    rows, columns = np.triu_indices(60, 1)
    same = subjects[rows] == subjects[columns]
    result = verification(embeddings, subjects, metric)
    assert result.auc == pytest.approx(roc_auc_score(same, scores[rows, columns]), abs=1e-6)
    ranks = torch.from_numpy(scores[rows, columns].astype(np.float64)).argsort().argsort() / len(rows)
    expected = float(binary_eer(ranks, torch.from_numpy(same)))
    assert result.eer == pytest.approx(expected, abs=1 / same.sum())  # a step of the curve: theirs is not interpolated
    assert (result.genuine, result.impostor, result.sampled) == (120, 1650, False)


def test_many_pictures_are_judged_by_a_sample(people: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, subjects = (np.concatenate([part] * 5) for part in people)
    embeddings = embeddings + np.random.default_rng(1).normal(0, 0.5, embeddings.shape).astype(np.float32)
    whole = verification(embeddings, subjects)
    assert not whole.sampled
    monkeypatch.setattr(retrieval, "MAX_PAIRS", 40_000)  # of 44,850
    part = verification(embeddings, subjects)
    assert part[2:] == (20_000, 20_000, True)
    assert part.auc == pytest.approx(whole.auc, abs=0.01)
    assert part.eer == pytest.approx(whole.eer, abs=0.01)


def test_unknown_people_are_left_out_and_lonely_ones_only_compared_with(people: tuple[Array, Array]) -> None:
    embeddings, subjects = people
    changed = subjects.copy()
    changed[:5] = -1
    assert verification(embeddings, changed) == verification(embeddings[5:], subjects[5:])
    lonely = subjects[[0, 5, 6, 7]]
    near = np.array([[1, 0], [0.9, 0.5], [0.8, 0.6], [1, -0.3]], np.float32)
    # the first has nobody; of the others, the last finds the first before its own
    assert cmc_curve(near, lonely).tolist() == pytest.approx([2 / 3, 1, 1])


def test_a_constant_embedding_tells_nobody_apart(people: tuple[Array, Array]) -> None:
    constant = np.ones_like(people[0])
    assert cmc_curve(constant, people[1])[0] == 0
    assert verification(constant, people[1])[:2] == (0.5, 0.5)


@pytest.mark.parametrize("subjects", [[0, 1, 2, 3], [0, 0, 0, 0], [0, 0, -1, -1]])
def test_too_few_people_say_so(subjects: list[int]) -> None:
    with pytest.raises(DataError, match="needs two people"):
        cmc_curve(np.eye(4, dtype=np.float32), np.array(subjects))


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
