"""How sure a mean is."""

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
        groups: (N,) who is on each picture. Pictures of one person are alike, so people are drawn and not pictures;
            a negative number stands for a person of their own. None draws pictures.
        seed: of the 2,000 resamples.

    Returns:
        (2, M): the lower and the upper end.
    """
    if groups is None:
        groups = np.full(len(values), -1)
    lonely = groups < 0
    # who is unknown gets a number that nobody else has
    own = np.where(lonely, groups.max() + 1 + np.cumsum(lonely), groups)
    numbers = np.unique(own, return_inverse=True)[1]
    counts = np.bincount(numbers)
    sums = np.stack([np.bincount(numbers, column) for column in values.T.astype(np.float64)], axis=1)  # (G, M)
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK // len(counts))
    means = []
    for start in range(0, RESAMPLES, block):
        drawn = rng.integers(len(counts), size=(min(block, RESAMPLES - start), len(counts)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)[:, None])
    tail = (1 - level) / 2
    return np.asarray(np.quantile(np.concatenate(means), (tail, 1 - tail), axis=0))
