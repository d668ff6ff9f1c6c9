"""Weights: identified by a fingerprint, checked against a model."""

import hashlib
import re
from collections.abc import Mapping

from torch import Tensor

from earcli.errors import CheckpointError, WeightsError

FORMER_PARTS = re.compile(r"^((?:\w+\.)?)encoder\.(stem|layers)\.")
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
            # without the trunk, as earlier versions named weights, so that their indexes stay valid
            digest.update(f"{name.replace('encoder.trunk.', 'encoder.', 1)} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def with_trunk(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names of this version: earlier ones had the parts of a ResNet in the encoder itself.

    >>> import torch
    >>> list(with_trunk({"model.encoder.stem.0.weight": torch.zeros(1)}))
    ['model.encoder.trunk.stem.0.weight']
    """
    return {FORMER_PARTS.sub(r"\1encoder.trunk.\2.", name): value for name, value in weights.items()}


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
