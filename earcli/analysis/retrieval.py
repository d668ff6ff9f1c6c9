"""Pictures to vectors, groups of vectors, neighbors. Needs no torch: whoever calls brings the encoder."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from earcli.data.cache import Progress, Skipped, decode_chunks
from earcli.data.embeddings import Origin, Vectors
from earcli.data.manifest import Manifest
from earcli.errors import ConfigError, DataError
from earcli.metrics import retrieval

Metric = Literal["cosine", "mahalanobis"]
Floats = NDArray[np.float32]
KMEANS_STARTS = 10


class Embedder(NamedTuple):
    """An encoder: `run` takes crops (B, S, S, 3) uint8, S = origin.image_size, and returns vectors (B, D) fp32."""

    run: Callable[[NDArray[np.uint8]], Floats]
    origin: Origin


def embed_pictures(
    manifest: Manifest, embedder: Embedder, batch_size: int, workers: int, progress: Progress | None = None
) -> tuple[Vectors, list[Skipped]]:
    """The vectors of a set in its order, and the pictures that could not be read. Keeps no pixel longer than needed.

    Raises:
        DataError: none can be read.
    """
    parts: list[Floats] = []
    kept: list[int] = []
    skipped: list[Skipped] = []
    for chunk in decode_chunks(manifest, embedder.origin.image_size, workers):
        crops = {index: crop for index, crop in chunk.items() if not isinstance(crop, str)}
        skipped += [Skipped(i, manifest.paths[i], reason) for i, reason in chunk.items() if isinstance(reason, str)]
        kept += crops
        pixels = list(crops.values())
        for start in range(0, len(pixels), batch_size):
            parts.append(embedder.run(np.stack(pixels[start : start + batch_size])))
            if progress is not None:
                progress("embedding", min(chunk) + start, len(manifest))
    if not kept:
        raise DataError(f"No picture can be read: {skipped[0].path}: {skipped[0].reason}. Give others.")
    used = manifest.subset(kept)
    subjects = used.subjects or [""] * len(used)
    paths = [str(used.locate(index)) for index in range(len(used))]
    return Vectors(np.concatenate(parts), paths, used.boxes, subjects, None, embedder.origin), skipped


def cluster(values: Floats, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Groups vectors (N, D) by k-means, the best of ten starts.

    Returns:
        (N,) the group of each, numbered from 0, the largest first; (N,) the distance to its center.

    Raises:
        ConfigError: more groups than vectors.
    """
    if count > len(values):
        raise ConfigError(f"--clusters must be at most the {len(values)} pictures that there are, got {count}.")
    fitted = KMeans(count, n_init=KMEANS_STARTS, random_state=seed).fit(values)
    distances = np.linalg.norm(values - fitted.cluster_centers_[fitted.labels_], axis=1)
    sizes = np.bincount(fitted.labels_, minlength=count)
    rank = np.empty(count, np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(count)
    return rank[fitted.labels_], distances.astype(np.float64)


class MetricSpace:
    """Where distances are taken: as the vectors are (cosine), or whitened, so that Euclid's distance is Mahalanobis's.

    The covariance is shrunk (Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4): with fewer pictures than
    dimensions the plain one has no inverse. Directions in which nothing varies do not count.

    Attributes:
        plain: what scikit-learn and `earcli.metrics.retrieval` call the metric.

    Raises:
        DataError: Mahalanobis's distance among vectors that are all the same.
    """

    def __init__(self, values: Floats, metric: Metric) -> None:
        self.plain: retrieval.Metric = "cosine" if metric == "cosine" else "euclidean"
        self.whitening: NDArray[np.float64] | None = None
        if metric == "mahalanobis":
            if np.ptp(values, axis=0).max(initial=0) == 0:
                raise DataError(f"All {len(values)} vectors of the index are the same. Give --metric cosine.")
            # in fp64: feature maps have channels that hardly vary
            variances, directions = np.linalg.eigh(LedoitWolf().fit(values.astype(np.float64)).covariance_)
            varied = variances > variances.max() * len(variances) * np.finfo(np.float64).eps
            self.whitening = directions[:, varied] / np.sqrt(variances[varied])

    def place(self, values: Floats) -> NDArray[np.floating]:
        """Vectors (N, D) where distances are taken, (N, D)."""
        return values if self.whitening is None else values @ self.whitening


def neighbors(
    index: Vectors, queries: Vectors, k: int, metric: Metric
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """For each query the rows of its k nearest pictures, the nearest first, and their distances.

    A picture is not its own neighbor: what comes from the query's own file is left out.

    Raises:
        ConfigError: more neighbors than pictures.
    """
    if k > len(index):
        raise ConfigError(f"-k must be at most the {len(index)} pictures of the index, got {k}.")
    space = MetricSpace(index.values, metric)
    paths = np.array(index.paths)
    own = [np.flatnonzero(paths == path) for path in queries.paths]
    wanted = min(k + max(len(rows) for rows in own), len(index))
    search = NearestNeighbors(n_neighbors=wanted, metric=space.plain).fit(space.place(index.values))
    distances, rows = search.kneighbors(space.place(queries.values))
    result = []
    for mine, far, near in zip(own, distances, rows, strict=True):
        others = ~np.isin(near, mine)
        result.append((near[others][:k], far[others][:k]))
    return result
