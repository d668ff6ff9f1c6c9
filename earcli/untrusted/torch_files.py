"""Weights and checkpoints, read without running code."""

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from earcli.untrusted.files import LARGE, check_archive, check_regular_file
from earcli.untrusted.pickles import ForbiddenError

LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How files of torch before 1.6 begin."""


def read_torch_file(path: Path) -> Any:
    """Reads tensors and plain values that `torch.save` wrote; those of an archive stay mapped to the file.

    Raises:
        ForbiddenError: the file holds more than tensors and plain values; nothing of it was run.
        Exception: it is damaged; errors of any type.
    """
    check_regular_file(path, LARGE)
    with path.open("rb") as file:
        start = file.read(len(LEGACY_MAGIC))
    archive = start.startswith(b"PK")
    if archive:
        check_archive(path, LARGE)
    elif start != LEGACY_MAGIC:
        raise ValueError("not a file that torch.save wrote")
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        match = re.search(r"GLOBAL (\S+)", str(error))
        raise ForbiddenError(match[1][:80] if match else "an unsupported pickle") from error


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Reads the tensors of a `.safetensors` file by name.

    Raises:
        Exception: it is damaged; errors of any type.
    """
    check_regular_file(path, LARGE)
    return load_file(path)
