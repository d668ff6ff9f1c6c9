"""Confidence intervals of means."""

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
BLOCK = 2**19


def bootstrap_interval(
    values: NDArray[np.floating], groups: NDArray[np.integer] | None = None, seed: int = 0, level: float = 0.95
) -> NDArray[np.float64]:
    """A percentile bootstrap interval of the mean of each column (Efron 1979, doi:10.1214/aos/1176344552).

    Args:
        values: (N, M).
        groups: (N,) subject of each sample. Samples of one subject are not independent, so subjects are resampled; a
            negative number is a subject with this sample only. None resamples the samples.
        seed: Of the 2,000 resamples.
        level: Confidence level.

    Returns:
        (2, M): the lower and the upper bound.

    >>> bootstrap_interval(np.ones((5, 1))).tolist()
    [[1.0], [1.0]]
    """
    if groups is None:
        groups = np.full(len(values), -1)
    unknown = groups < 0
    unique = np.where(unknown, groups.max() + 1 + np.cumsum(unknown), groups)  # a number for each unknown subject
    numbers = np.unique(unique, return_inverse=True)[1]
    counts = np.bincount(numbers)
    sums = np.stack([np.bincount(numbers, column) for column in values.T.astype(np.float64)], axis=1)  # (G, M)
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK // len(counts))
    means = []
    for start in range(0, RESAMPLES, block):
        sample = rng.integers(len(counts), size=(min(block, RESAMPLES - start), len(counts)))
        means.append(sums[sample].sum(axis=1) / counts[sample].sum(axis=1)[:, None])
    tail = (1 - level) / 2
    return np.asarray(np.quantile(np.concatenate(means), (tail, 1 - tail), axis=0))
