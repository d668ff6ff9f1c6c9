"""Identification and verification of people by embeddings; every picture is compared with all others."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from earcli.errors import DataError

Metric = Literal["cosine", "euclidean"]
Floats = NDArray[np.floating]
Integers = NDArray[np.integer]

CHUNK = 512
MAX_PAIRS = 5_000_000


class Verification(NamedTuple):
    """Verification: do two pictures show the same person? Decided by the similarity of their embeddings.

    Attributes:
        auc: area under the ROC curve; 0.5 is chance.
        eer: the error rate at the threshold where false matches and false non-matches are equally frequent.
        genuine, impostor: number of pairs of one person, and of two.
        sampled: whether the pairs are a random sample of all.
    """

    auc: float
    eer: float
    genuine: int
    impostor: int
    sampled: bool


def cmc_curve(
    embeddings: Floats, subjects: Integers, ranks: int = 20, metric: Metric = "cosine"
) -> NDArray[np.float64]:
    """The cumulative match characteristic: [k − 1] is the fraction of queries with their person among the k nearest.

    So [0] is rank-1 identification. Pictures whose person has no other picture are in the gallery but are no queries.
    Ties count against the embedding, so that a constant embedding identifies nobody.

    Args:
        embeddings: (N, D).
        subjects: (N,) a number per person; negative where unknown, which excludes the picture.
        ranks: length of the curve; cut to N − 1.

    Raises:
        DataError: No person is in two pictures, or only one person is known.
    """
    embeddings, subjects = _known(embeddings, subjects, metric)
    counts = np.bincount(subjects)
    queries = np.flatnonzero(counts[subjects] > 1)
    ranks_of = np.zeros(len(subjects), np.int64)  # queries by the rank of their first match
    for start in range(0, len(queries), CHUNK):
        rows = queries[start : start + CHUNK]
        scores = _similarity(embeddings[rows], embeddings, metric)  # (B, N)
        same = subjects[rows, None] == subjects[None, :]
        same[np.arange(len(rows)), rows] = False
        best = np.where(same, scores, -np.inf).max(axis=1, keepdims=True)
        others = subjects[rows, None] != subjects[None, :]
        for rank in (others & (scores >= best)).sum(axis=1):
            ranks_of[rank] += 1
    return np.asarray(ranks_of.cumsum()[: min(ranks, len(subjects) - 1)] / len(queries))


def verification(embeddings: Floats, subjects: Integers, metric: Metric = "cosine", seed: int = 0) -> Verification:
    """Measures verification over pairs of pictures; see `cmc_curve` for the arguments.

    Up to 5 million pairs (3,162 pictures) all are used; above that, 2.5 million random pairs of either kind, with
    replacement, which takes 300 MB.

    Raises:
        DataError: No person is in two pictures, or only one person is known.
    """
    embeddings, subjects = _known(embeddings, subjects, metric)
    count = len(subjects)
    sampled = count * (count - 1) // 2 > MAX_PAIRS
    if sampled:
        first, second = _random_pairs(subjects, MAX_PAIRS // 2, np.random.default_rng(seed))
        scores = _pair_similarity(embeddings, first, second, metric)
    else:
        first, second = np.triu_indices(count, 1)
        scores = np.concatenate(
            [_similarity(embeddings[i : i + 1], embeddings[i + 1 :], metric)[0] for i in range(count)]
        )
    same = subjects[first] == subjects[second]
    false_match, match, _ = roc_curve(same, scores, drop_intermediate=False)
    # along the curve false matches rise and false non-matches fall; they are equal where their difference is 0
    eer = np.interp(0.0, false_match - (1 - match), false_match)
    genuine = int(same.sum())
    return Verification(float(roc_auc_score(same, scores)), float(eer), genuine, len(same) - genuine, sampled)


def _known(embeddings: Floats, subjects: Integers, metric: Metric) -> tuple[Floats, Integers]:
    """Pictures of known people, people numbered from 0; embeddings normalized for `_similarity`."""
    known = subjects >= 0
    people, numbers, counts = np.unique(subjects[known], return_inverse=True, return_counts=True)
    if len(people) < 2 or counts.max() < 2:
        raise DataError(
            f"{known.sum()} pictures of {len(people)} known people: identification needs two people, and two pictures "
            "of one of them. Name the subjects in the manifest, or put each person's pictures into a folder."
        )
    kept = np.asarray(embeddings[known], np.float32)
    if metric == "cosine":
        kept = kept / np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return kept, numbers


def _similarity(a: Floats, b: Floats, metric: Metric) -> Floats:
    """(A, B): cosine of normalized rows, or minus the squared distance."""
    product = a @ b.T
    if metric == "cosine":
        return product
    return np.asarray(2 * product - np.square(a).sum(1)[:, None] - np.square(b).sum(1)[None, :])


def _pair_similarity(embeddings: Floats, first: Integers, second: Integers, metric: Metric) -> Floats:
    """(P,), in chunks, because the embeddings of all pairs would not fit into memory."""
    scores = np.empty(len(first), np.float32)
    for start in range(0, len(first), CHUNK * 16):
        piece = slice(start, start + CHUNK * 16)
        a, b = embeddings[first[piece]], embeddings[second[piece]]
        scores[piece] = (a * b).sum(1) if metric == "cosine" else -np.square(a - b).sum(1)
    return scores


def _random_pairs(subjects: Integers, each: int, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """`each` uniformly sampled pairs of one person, then as many of two."""
    order = np.argsort(subjects, kind="stable")
    counts = np.bincount(subjects)
    begins = counts.cumsum() - counts
    pairs = counts * (counts - 1.0)
    person = rng.choice(len(counts), each, p=pairs / pairs.sum())
    a = rng.integers(counts[person])
    b = (a + rng.integers(1, counts[person])) % counts[person]
    first, second = order[begins[person] + a], order[begins[person] + b]
    left: list[Integers] = [first]
    right: list[Integers] = [second]
    missing = each
    while missing:
        a, b = rng.integers(len(subjects), size=(2, missing))
        differ = subjects[a] != subjects[b]
        left.append(a[differ])
        right.append(b[differ])
        missing -= int(differ.sum())
    return np.concatenate(left), np.concatenate(right)


def worst_pairs(
    embeddings: Floats, subjects: Integers, count: int, metric: Metric = "cosine"
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The pairs of the worst errors, as rows of `embeddings`, the worst first; see `cmc_curve` for the arguments.

    Returns:
        The most similar pairs of two people, and the least similar pairs of one person; up to `count` of each.

    Raises:
        DataError: No person is in two pictures, or only one person is known.
    """
    rows = np.flatnonzero(subjects >= 0)
    embeddings, subjects = _known(embeddings, subjects, metric)
    alike: list[tuple[float, int, int]] = []
    unlike: list[tuple[float, int, int]] = []
    for start in range(0, len(subjects), CHUNK):
        part = np.arange(start, min(start + CHUNK, len(subjects)))
        scores = _similarity(embeddings[part], embeddings, metric)
        later = np.arange(len(subjects)) > part[:, None]  # every pair once
        same = subjects[part, None] == subjects[None, :]
        for found, wrong, sign in ((alike, later & ~same, 1), (unlike, later & same, -1)):
            ranked = np.where(wrong, sign * scores, -np.inf).ravel()
            top = np.argpartition(-ranked, min(count, len(ranked) - 1))[:count]
            found += [(-ranked[i], part[i // len(rows)], i % len(rows)) for i in top if np.isfinite(ranked[i])]
    first, second = ([(int(rows[a]), int(rows[b])) for _, a, b in sorted(pairs)[:count]] for pairs in (alike, unlike))
    return first, second
