"""Weights: identified by a fingerprint, checked against a model."""

import hashlib
from collections.abc import Mapping

from torch import Tensor

from earcli.errors import CheckpointError, WeightsError

MODEL_PREFIX, AVERAGE_PREFIX = "model.", "average."
"""Of the names in a training checkpoint: the trained weights, and their moving average."""


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits that identify weights, whichever file they came from: a part of their SHA-256.

    >>> import torch
    >>> fingerprint({"bias": torch.zeros(2)})
    '201019ce656f47ad'
    """
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        if value.is_floating_point():  # the counters of batch norm do not change what is computed
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_fit(
    state: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    what: str,
    error: type[CheckpointError | WeightsError],
) -> None:
    """Raises `error` if weights are missing or have another shape than expected; its message begins with `what`."""
    missing = [key for key in expected if key not in state]
    if missing:
        raise error(f"{what}: {len(missing)} of {len(expected)} weights are missing, such as {missing[0]}.")
    for key, value in expected.items():
        if state[key].shape != value.shape:
            actual, needed = tuple(state[key].shape), tuple(value.shape)
            raise error(f"{what}: {key} is {actual}, expected {needed}.")
