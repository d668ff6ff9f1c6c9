"""Leak-free training and validation splits."""

import numpy as np
from numpy.typing import NDArray

from earcli.errors import DataError


def split_groups(groups: NDArray[np.int64], train_fraction: float, seed: int) -> NDArray[np.bool_]:
    """Assigns whole groups to training and validation.

    Groups are visited in a random order; each is used for validation if it still fits there.

    Args:
        groups: (N,) the group of each sample.
        train_fraction: Fraction of the samples used for training, between 0 and 1.
        seed: Seed of the order.

    Returns:
        (N,) True for validation. Both parts have at least one group.

    Raises:
        DataError: There is only one group.

    >>> split_groups(np.array([0, 0, 1]), 0.9, seed=0).tolist()
    [False, False, True]
    """
    _, group_indices, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise DataError(
            f"All {len(groups)} ears are related (one subject, or near-duplicates), so they cannot be split. "
            "Add images of more people, or tell subjects apart differently."
        )
    order = np.random.default_rng(seed).permutation(len(sizes))
    remaining = round((1 - train_fraction) * len(groups))
    selected = np.zeros(len(sizes), dtype=bool)
    for group in order:
        if sizes[group] <= remaining:
            selected[group] = True
            remaining -= sizes[group]
    if not selected.any():
        selected[order[sizes[order].argmin()]] = True
    if selected.all():
        selected[order[sizes[order].argmax()]] = False
    return np.asarray(selected[group_indices])
