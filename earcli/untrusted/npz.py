"""`.npz` files of numbers and text, read without unpickling."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli.untrusted.files import check_archive
from earcli.untrusted.pickles import check_code_points

SIZE_LIMIT = 64 << 30


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Reads the arrays of an uncompressed `.npz` by name.

    Raises:
        Exception: it is damaged, or holds other things than numbers and text; errors of any type.
    """
    check_archive(path, SIZE_LIMIT)
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    for name, array in arrays.items():
        if array.dtype.kind not in "biufU" or not array.dtype.itemsize:
            raise ValueError(f"{name} holds {array.dtype}, expected numbers or text")
        check_code_points(array)
    return arrays
