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
    return _interval(_resampled_means(values, groups, seed), level)


def reduction_interval(
    values: NDArray[np.floating], reference: NDArray[np.floating], groups: NDArray[np.integer]
) -> tuple[float, float]:
    """The 95% bootstrap interval of 1 − mean(values) / mean(reference) for paired values, both (N,).

    Both means are of the same resampled subjects, so what makes an ear hard for both does not widen the interval.

    >>> reduction_interval(np.array([1.0, 2.0]), np.array([2.0, 4.0]), np.array([0, 1]))
    (0.5, 0.5)
    """
    means = _resampled_means(np.stack([values, reference], axis=1), groups)
    low, high = _interval(1 - means[:, :1] / means[:, 1:])[:, 0]
    return float(low), float(high)


def _resampled_means(
    values: NDArray[np.floating], groups: NDArray[np.integer] | None, seed: int = 0
) -> NDArray[np.float64]:
    """(2000, M): the means of the columns of values (N, M) in each resample of the subjects."""
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
    return np.concatenate(means)


def _interval(samples: NDArray[np.float64], level: float = 0.95) -> NDArray[np.float64]:
    """(2, M): the bounds of the percentile interval of each column."""
    tail = (1 - level) / 2
    return np.asarray(np.quantile(samples, (tail, 1 - tail), axis=0))
