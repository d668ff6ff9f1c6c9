"""Reading `.npz` files: plain numbers and text, no pickle, no more memory than the file has bytes."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli.untrusted.files import open_zip

MOST_BYTES = 64 << 30
LAST_LETTER = 0x10FFFF
"""The highest number that Unicode gives."""


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a `.npz` that numpy wrote, not compressed, by name. They cannot be written to.

    Raises:
        Exception: it is damaged, or has arrays of objects; anything may be raised.
    """
    with open_zip(path, MOST_BYTES) as archive:
        return {item.filename.removesuffix(".npy"): _read(archive, item) for item in archive.infolist()}


def _read(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(item) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.kind not in "biufU" or not dtype.itemsize:
            raise ValueError(f"{item.filename} holds {dtype}, not plain numbers or text")
        if min(shape, default=0) < 0 or file.tell() + math.prod(shape) * dtype.itemsize != item.file_size:
            raise ValueError(f"{item.filename} has not the numbers of its shape")
        # numpy makes an empty array of no bytes; the length of its other sides must not matter
        flat = plain_values(file.read(), dtype) if math.prod(shape) else np.empty(0, dtype)
        return flat.reshape(shape, order="F" if fortran else "C")


def plain_values(content: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Bytes as numbers or text.

    Raises:
        ValueError: letters that there are none of: Python's own functions fail in any way on such text.
    """
    values = np.frombuffer(content, dtype)
    letters = np.dtype("u4").newbyteorder(dtype.byteorder)
    if dtype.kind == "U" and np.frombuffer(content, letters).max(initial=0) > LAST_LETTER:
        raise ValueError("its text has letters that there are none of")
    return values
