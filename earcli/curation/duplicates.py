"""Which ears are the same: by perceptual hash, confirmed on a thumbnail."""

import base64
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from earcli.curation.scan import THUMBNAIL, Facts

MAX_DISTANCE = 8
MIN_CORRELATION = 0.96
BLOCK = 1 << 22  # pairs that are compared at once: 32 MB of hashes
MAX_EDGES = 1 << 20
PIECE = 1 << 13  # thumbnails that are correlated at once: 64 MB

Edges = NDArray[np.int64]


def near_duplicates(facts: Sequence[Facts]) -> Edges:
    """Pairs of ears that look the same, or are each other's mirror image.

    The pHashes differ in at most 8 of 64 bits, and the gray 32×32 thumbnails correlate at 0.96 or more; docs/data.md
    says how both were chosen. Every pair is compared, in blocks, so time grows with the square of the number.

    Returns:
        (P, 2) indices, the lower first. When there are more than a million pairs, only as many as connect the same
        ears.
    """
    copies = equal_values((item.hash, item.thumbnail) if item.thumbnail else None for item in facts)
    kept = np.setdiff1d(np.flatnonzero([bool(item.thumbnail) for item in facts]), copies[:, 1])
    hashes = np.array([facts[i].hash for i in kept], dtype=np.uint64)
    mirrors = np.array([facts[i].mirror_hash for i in kept], dtype=np.uint64)
    thumbnails = np.array([_thumbnail(facts[i]) for i in kept]).reshape(-1, THUMBNAIL, THUMBNAIL)
    found: Edges = np.empty((0, 2), np.int64)
    step = max(BLOCK // max(len(kept), 1), 1)
    for start in range(0, len(kept), step):
        for others, seen in ((hashes, thumbnails), (mirrors, thumbnails[:, :, ::-1])):
            distance = np.bitwise_count(hashes[start : start + step, None] ^ others[None, start:])
            pairs = np.argwhere(distance <= MAX_DISTANCE) + start
            pairs = pairs[pairs[:, 0] < pairs[:, 1]]
            found = np.concatenate([found, *_alike(pairs, thumbnails, seen)])
        if len(found) > MAX_EDGES:
            found = chains(groups(len(kept), [found]))
    return np.concatenate([copies, kept[found]])


def _alike(pairs: Edges, first: NDArray[np.float32], second: NDArray[np.float32]) -> Iterator[Edges]:
    for start in range(0, len(pairs), PIECE):
        piece = pairs[start : start + PIECE]
        yield piece[np.einsum("pij,pij->p", first[piece[:, 0]], second[piece[:, 1]]) >= MIN_CORRELATION]


def _thumbnail(item: Facts) -> NDArray[np.float32]:
    """(32, 32), mean 0 and norm 1; all 0 for a picture that has no contrast, which is like none."""
    values = np.frombuffer(base64.b64decode(item.thumbnail), np.uint8).astype(np.float32)
    values -= values.mean()
    return (values / max(float(np.linalg.norm(values)), 1.0)).reshape(THUMBNAIL, THUMBNAIL)


def equal_values(values: Iterable[object]) -> Edges:
    """Pairs (P, 2) that connect all samples of one value; None and "" are like nothing."""
    last: dict[object, int] = {}
    pairs = []
    for index, value in enumerate(values):
        if value is None or value == "":
            continue
        if value in last:
            pairs.append((last[value], index))
        last[value] = index
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def groups(count: int, edges: Sequence[Edges]) -> NDArray[np.int64]:
    """(count,) the number of the group that each sample is in, when each edge joins its two ends."""
    joined = np.concatenate([np.empty((0, 2), np.int64), *edges])
    graph = coo_array((np.ones(len(joined), bool), (joined[:, 0], joined[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def chains(labels: NDArray[np.int64]) -> Edges:
    """The fewest pairs that make these groups."""
    return equal_values(labels.tolist())
