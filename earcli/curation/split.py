"""Dividing a set so that nothing leaks."""

import numpy as np
from numpy.typing import NDArray

from earcli.errors import DataError


def split_groups(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Draws whole groups for training and validation.

    Groups are taken in an order drawn by `seed`; each goes to validation as long as it fits there.

    Args:
        labels: (N,) the group of each sample.
        share: of the samples that should train, between 0 and 1.

    Returns:
        (N,) True for validation. Both sides have at least one group.

    Raises:
        DataError: there is only one group.
    """
    _, numbers, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise DataError(
            f"All {len(labels)} ears belong together (one subject, or the same picture), so they cannot be split. "
            "Give pictures of more people, or another --subject."
        )
    order = np.random.default_rng(seed).permutation(len(sizes))
    room = round((1 - share) * len(labels))
    chosen = np.zeros(len(sizes), dtype=bool)
    for group in order:
        if sizes[group] <= room:
            chosen[group] = True
            room -= sizes[group]
    if not chosen.any():
        chosen[order[sizes[order].argmin()]] = True
    if chosen.all():
        chosen[order[sizes[order].argmax()]] = False
    return np.asarray(chosen[numbers])
