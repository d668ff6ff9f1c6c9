"""Crops of a set of any size, of which only what is asked for takes memory."""

import os
import weakref
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from earcli.errors import DataError


class Pixels(Protocol):
    """Crops (N, S, S, 3), uint8, indexed along N as an array is."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, which: Any, /) -> NDArray[np.uint8]: ...


class StoredPixels:
    """A file of pixels, of which the rows that are asked for are read, neighbors at once.

    The file is not mapped into memory: where it is cut or its disk goes away, a map ends the process without a word.

    Raises:
        ValueError: the file has another size than `shape`.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        self.path, self.shape = path, shape
        self.rows = np.arange(shape[0])
        self.row_bytes = shape[1] * shape[2] * shape[3]
        self.lock = Lock()
        self.file = path.open("rb", buffering=0)
        weakref.finalize(self, self.file.close)
        found = os.fstat(self.file.fileno()).st_size
        if found != shape[0] * self.row_bytes:
            raise ValueError(f"{path} has {found} bytes, wanted {shape[0] * self.row_bytes}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.shape)  # another process opens the file anew

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: Any, /) -> NDArray[np.uint8]:
        """Raises DataError when the file cannot be read any more."""
        rows = self.rows[which]
        wanted = rows.reshape(-1)
        found = np.empty(wanted.size * self.row_bytes, np.uint8)
        buffer = found.data
        runs = np.flatnonzero(np.diff(wanted, prepend=-2, append=-2) != 1).tolist()
        offsets = (wanted * self.row_bytes).tolist()
        for start, end in pairwise(runs):
            self._read(buffer[start * self.row_bytes : end * self.row_bytes], offsets[start])
        return found.reshape(*rows.shape, *self.shape[1:])

    def _read(self, into: memoryview, offset: int) -> None:
        """Fills a buffer from the file."""
        try:
            while into:
                count = self._read_some(into, offset)
                if not count:
                    raise DataError(self._lost("it has become shorter"))
                into, offset = into[count:], offset + count
        except OSError as error:
            raise DataError(self._lost(error.strerror or str(error))) from error

    def _read_some(self, into: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self.file.fileno(), [into], offset)
        with self.lock:  # Windows has one position in a file, which threads share
            self.file.seek(offset)
            return self.file.readinto(into) or 0

    def _lost(self, reason: str) -> str:
        return (
            f"{self.path}, the cache of the pictures, cannot be read any more ({reason}). See to its disk, then start "
            "again, or go on with ear resume; a damaged cache is built anew."
        )
