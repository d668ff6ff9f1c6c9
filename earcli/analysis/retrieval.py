"""Embedding, clustering and neighbor search. Needs no torch: the caller brings the encoder."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from earcli.data.cache import Progress, Skipped
from earcli.data.decoding import decode_chunks
from earcli.data.embeddings import Embeddings, EncoderInfo
from earcli.data.manifest import Manifest
from earcli.errors import ConfigError, DataError
from earcli.metrics import retrieval

Metric = Literal["cosine", "mahalanobis"]
Floats = NDArray[np.float32]
KMEANS_STARTS = 10


class Embedder(NamedTuple):
    """An encoder: `run` maps crops (B, S, S, 3) uint8 with S = info.image_size to embeddings (B, D) in fp32."""

    run: Callable[[NDArray[np.uint8]], Floats]
    info: EncoderInfo


class Neighbors(NamedTuple):
    """The k nearest embeddings of a query, the nearest first: row numbers (k,) and distances (k,)."""

    rows: NDArray[np.int64]
    distances: NDArray[np.float64]


def embed_pictures(
    manifest: Manifest, embedder: Embedder, batch_size: int, workers: int, progress: Progress | None = None
) -> tuple[Embeddings, list[Skipped]]:
    """The embeddings of a set in its order, and the pictures that could not be read.

    Args:
        manifest: The pictures; no pixels are kept longer than needed.
        embedder: The encoder.
        batch_size: Pictures per batch.
        workers: Threads that decode pictures.
        progress: Called after each batch.

    Raises:
        DataError: No picture can be read.
    """
    parts: list[Floats] = []
    kept: list[int] = []
    skipped: list[Skipped] = []
    for chunk in decode_chunks(manifest, embedder.info.image_size, workers):
        crops = {index: crop for index, crop in chunk.items() if not isinstance(crop, str)}
        skipped += [Skipped(i, manifest.paths[i], reason) for i, reason in chunk.items() if isinstance(reason, str)]
        kept += crops
        pixels = list(crops.values())
        for start in range(0, len(pixels), batch_size):
            parts.append(embedder.run(np.stack(pixels[start : start + batch_size])))
            if progress is not None:
                progress("embedding", min(chunk) + start, len(manifest))
    if not kept:
        raise DataError(f"No picture can be read: {skipped[0].path}: {skipped[0].reason}.")
    used = manifest.subset(kept)
    subjects = used.subjects or [""] * len(used)
    paths = [str(used.locate(index)) for index in range(len(used))]
    return Embeddings(np.concatenate(parts), paths, used.boxes, subjects, None, embedder.info), skipped


def cluster(values: Floats, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Clusters embeddings (N, D) by k-means, the best of ten initializations.

    Returns:
        (N,) the cluster of each, numbered from 0, the largest first; (N,) the distance to its center.

    Raises:
        ConfigError: There are more clusters than embeddings.

    >>> labels, distances = cluster(np.array([[0.0], [0.1], [5.0]], np.float32), 2, seed=0)
    >>> labels.tolist()
    [0, 0, 1]
    """
    if count > len(values):
        raise ConfigError(f"`clusters` must be at most {len(values)}, the number of pictures, got {count}.")
    fitted = KMeans(count, n_init=KMEANS_STARTS, random_state=seed).fit(values)
    distances = np.linalg.norm(values - fitted.cluster_centers_[fitted.labels_], axis=1)
    sizes = np.bincount(fitted.labels_, minlength=count)
    rank = np.empty(count, np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(count)
    return rank[fitted.labels_], distances.astype(np.float64)


class MetricSpace:
    """The space in which distances are measured: unchanged for cosine, whitened for Mahalanobis.

    In whitened space the Euclidean distance is Mahalanobis's. The covariance is shrunk (Ledoit and Wolf 2004,
    doi:10.1016/S0047-259X(03)00096-4), because with fewer pictures than dimensions it has no inverse.
    Directions without variance are dropped.

    Attributes:
        plain_metric: The metric to use in this space, for scikit-learn and `earcli.metrics.retrieval`.

    Raises:
        DataError: Mahalanobis's distance among embeddings that are all equal.
    """

    def __init__(self, values: Floats, metric: Metric) -> None:
        self.plain_metric: retrieval.Metric = "cosine" if metric == "cosine" else "euclidean"
        self.whitening: NDArray[np.float64] | None = None
        if metric == "mahalanobis":
            if np.ptp(values, axis=0).max(initial=0) == 0:
                raise DataError(f"All {len(values)} embeddings of the index are equal. Use `metric` cosine.")
            # in fp64: feature maps have channels with hardly any variance
            variances, directions = np.linalg.eigh(LedoitWolf().fit(values.astype(np.float64)).covariance_)
            varied = variances > variances.max() * len(variances) * np.finfo(np.float64).eps
            self.whitening = directions[:, varied] / np.sqrt(variances[varied])

    def transform(self, values: Floats) -> NDArray[np.floating]:
        """Embeddings (N, D) in this space, (N, D') with D' ≤ D."""
        return values if self.whitening is None else values @ self.whitening


def find_neighbors(index: Embeddings, queries: Embeddings, k: int, metric: Metric) -> list[Neighbors]:
    """The k nearest pictures of each query; a query's own file is excluded.

    Raises:
        ConfigError: There are fewer than k pictures.
    """
    if k > len(index):
        raise ConfigError(f"`k` must be at most {len(index)}, the pictures in the index, got {k}.")
    space = MetricSpace(index.values, metric)
    paths = np.array(index.paths)
    own = [np.flatnonzero(paths == path) for path in queries.paths]
    count = min(k + max(len(rows) for rows in own), len(index))
    search = NearestNeighbors(n_neighbors=count, metric=space.plain_metric).fit(space.transform(index.values))
    distances, rows = search.kneighbors(space.transform(queries.values))
    result = []
    for excluded, distance, row in zip(own, distances, rows, strict=True):
        others = ~np.isin(row, excluded)
        result.append(Neighbors(row[others][:k], distance[others][:k]))
    return result
