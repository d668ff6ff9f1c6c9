"""Crops of a set of any size, of which only what is asked for takes memory."""

import mmap
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

RESIDENT = 32 * 2**20


class Pixels(Protocol):
    """Crops (N, S, S, 3), uint8, indexed along N as an array is."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, which: Any, /) -> NDArray[np.uint8]: ...


class MappedPixels:
    """A file of pixels, mapped into memory.

    The system counts every page that was ever read as this process's, so an epoch would make it as large as the file.
    After every 32 MiB that were read, this lets go of all pages; they stay in the system's cache, where they were.

    Raises:
        ValueError: the file has another size than `shape`, or is empty.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        with path.open("rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.pixels: NDArray[np.uint8] = np.frombuffer(self.map, np.uint8).reshape(shape)
        self.path, self.shape = path, shape
        self.read = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.shape)  # another process maps the file anew

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, which: Any, /) -> NDArray[np.uint8]:
        if self.read > RESIDENT and hasattr(mmap, "MADV_DONTNEED"):
            self.map.madvise(mmap.MADV_DONTNEED)
            self.read = 0
        found: NDArray[np.uint8] = self.pixels[which]
        self.read += found.nbytes
        return found
