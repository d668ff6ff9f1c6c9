"""Duplicates and near-duplicates, by perceptual hash and the correlation of thumbnails."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from earcli.curation.scan import THUMBNAIL_SIDE, PictureFacts

MAX_DISTANCE = 8
MIN_CORRELATION = 0.96
HASH_PAIRS = 1 << 22
"""Pairs of hashes compared at once: 32 MB."""
THUMBNAIL_PAIRS = 1 << 13
"""Pairs of thumbnails correlated at once: 64 MB."""
MAX_PAIRS = 1 << 20

Pairs = NDArray[np.int64]
"""(P, 2) indices of samples."""


def find_near_duplicates(facts: Sequence[PictureFacts]) -> Pairs:
    """Pairs of ears that look the same, or are mirror images of each other.

    The pHashes differ in at most 8 of 64 bits, and the 32×32 gray thumbnails have a correlation of 0.96 or more;
    docs/data.md says how both thresholds were chosen. All pairs are compared, in blocks: the time is quadratic.

    Returns:
        (P, 2) indices, the lower first. If there are more than a million pairs, a subset that connects the same ears.
    """
    copies = connect_equal((item.hash, item.thumbnail) if item.thumbnail else None for item in facts)
    kept = np.setdiff1d(np.flatnonzero([bool(item.thumbnail) for item in facts]), copies[:, 1])
    hashes = np.array([facts[i].hash for i in kept], dtype=np.uint64)
    mirror_hashes = np.array([facts[i].mirror_hash for i in kept], dtype=np.uint64)
    thumbnails = np.array([_thumbnail(facts[i]) for i in kept]).reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    pairs: Pairs = np.empty((0, 2), np.int64)
    step = max(HASH_PAIRS // max(len(kept), 1), 1)
    for start in range(0, len(kept), step):
        for others, images in ((hashes, thumbnails), (mirror_hashes, thumbnails[:, :, ::-1])):
            distance = np.bitwise_count(hashes[start : start + step, None] ^ others[None, start:])
            candidates = np.argwhere(distance <= MAX_DISTANCE) + start
            candidates = candidates[candidates[:, 0] < candidates[:, 1]]
            pairs = np.concatenate([pairs, *_correlated(candidates, thumbnails, images)])
        if len(pairs) > MAX_PAIRS:
            pairs = connect_equal(label_groups(len(kept), [pairs]).tolist())
    return np.concatenate([copies, kept[pairs]])


def _correlated(pairs: Pairs, first: NDArray[np.float32], second: NDArray[np.float32]) -> Iterator[Pairs]:
    """Selects the pairs of thumbnails, (N, 32, 32) each, whose correlation is high enough."""
    for start in range(0, len(pairs), THUMBNAIL_PAIRS):
        block = pairs[start : start + THUMBNAIL_PAIRS]
        yield block[np.einsum("pij,pij->p", first[block[:, 0]], second[block[:, 1]]) >= MIN_CORRELATION]


def _thumbnail(item: PictureFacts) -> NDArray[np.float32]:
    """(32, 32), mean 0 and norm 1; all 0 for an image without contrast, which then correlates with none."""
    values = item.thumbnail_pixels().astype(np.float32)
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1.0)


def connect_equal(values: Iterable[object]) -> Pairs:
    """The fewest pairs (P, 2) that connect all indices with equal values; None and "" equal nothing.

    >>> connect_equal(["kim", "lee", "kim", "", "kim", ""]).tolist()
    [[0, 2], [2, 4]]
    """
    last: dict[object, int] = {}
    pairs = []
    for index, value in enumerate(values):
        if value is None or value == "":
            continue
        if value in last:
            pairs.append((last[value], index))
        last[value] = index
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def label_groups(count: int, pairs: Sequence[Pairs]) -> NDArray[np.int64]:
    """The connected component (count,) of each sample, where every pair connects its two samples.

    >>> label_groups(4, [np.array([[0, 2]]), np.array([[2, 3]])]).tolist()
    [0, 1, 0, 0]
    """
    edges = np.concatenate([np.empty((0, 2), np.int64), *pairs])
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
