"""Crops on disk, read on indexing: memory holds only the rows that are used."""

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

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]: ...


class StoredPixels:
    """A file of (N, S, S, 3) uint8, indexed as an array; consecutive rows are read at once.

    The file is read instead of mapped: when a mapped file is truncated or its disk is lost, a signal kills the process.

    Args:
        path: the file.
        shape: (N, S, S, 3).

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
        size = os.fstat(self.file.fileno()).st_size
        if size != shape[0] * self.row_bytes:
            raise ValueError(f"{path} has {size} bytes, expected {shape[0] * self.row_bytes}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.shape)  # another process opens the file again

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        """Raises `DataError` when the file can no longer be read."""
        rows = self.rows[index]
        flat = rows.reshape(-1)
        result = np.empty(flat.size * self.row_bytes, np.uint8)
        buffer = result.data
        runs = np.flatnonzero(np.diff(flat, prepend=-2, append=-2) != 1).tolist()
        offsets = (flat * self.row_bytes).tolist()
        for start, end in pairwise(runs):
            self._read(buffer[start * self.row_bytes : end * self.row_bytes], offsets[start])
        return result.reshape(*rows.shape, *self.shape[1:])

    def _read(self, buffer: memoryview, offset: int) -> None:
        """Fills a buffer from the file."""
        try:
            while buffer:
                count = self._read_some(buffer, offset)
                if not count:
                    raise self._error("it was truncated")
                buffer, offset = buffer[count:], offset + count
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error

    def _read_some(self, buffer: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self.file.fileno(), [buffer], offset)
        with self.lock:  # on Windows, threads share the position in a file
            self.file.seek(offset)
            return self.file.readinto(buffer) or 0

    def _error(self, reason: str) -> DataError:
        return DataError(
            f"{self.path}, the pixel cache, can no longer be read ({reason}). Check its disk, then start again or "
            "continue with ear resume; a damaged cache is rebuilt."
        )


class MirroredPixels:
    """Crops of which some are mirrored horizontally on indexing.

    Args:
        pixels: (N, S, S, 3) uint8, in memory or not.
        mirrored: (N,) bool.

    >>> MirroredPixels(np.array([[[[1, 1, 1], [2, 2, 2]]]], np.uint8), np.array([True]))[0][0, :, 0].tolist()
    [2, 1]
    """

    def __init__(self, pixels: Pixels, mirrored: NDArray[np.bool_]) -> None:
        self.pixels, self.mirrored = pixels, mirrored
        self.shape = pixels.shape

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        chosen = self.pixels[index]
        return np.where(self.mirrored[index][..., None, None, None], chosen[..., ::-1, :], chosen)


def undo_mirroring(pixels: Pixels, rows: NDArray[np.int64], images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (n, S, S, 3) of the crops at `rows`, mirrored back where `pixels` mirrors the crops."""
    if not isinstance(pixels, MirroredPixels):
        return images
    return np.where(pixels.mirrored[rows][:, None, None, None], images[:, :, ::-1], images)
