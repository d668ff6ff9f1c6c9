"""The doors for files that anybody may have written: plain files of bounded size, archives that are what they say."""

import errno
import os
import reprlib
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

SMALL = 1 << 20
"""Bytes that a configuration, or a note of ear's own, never exceeds."""
LARGE = 1 << 40
"""More than any file of weights has."""
MOST_DIRECTORY_BYTES = 4 << 20
MOST_TAIL_BYTES = 128 << 10
HEADER_BYTES = 30
ZIP64 = 0xFFFFFFFF


def check_regular_file(path: Path, limit: int) -> int:
    """The size of a file in bytes.

    Raises:
        OSError: it is not there, is no plain file (from a pipe or a device one would read for ever), or is larger than
            `limit` bytes; `strerror` says which.
        ValueError: `path` can be no name of a file.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is no plain file", str(path))
    if status.st_size > limit:
        raise OSError(errno.EFBIG, f"has {status.st_size:,} bytes, over the limit of {limit:,}", str(path))
    return status.st_size


def read_bounded(path: Path, limit: int = SMALL) -> bytes:
    """The content of a file.

    Raises:
        OSError, ValueError: see `check_regular_file`.
    """
    size = check_regular_file(path, limit)
    with path.open("rb") as file:
        return file.read(size)


class _Shown(reprlib.Repr):
    def repr_int(self, value: int, level: int) -> str:
        return repr(value) if value.bit_length() < 1024 else f"a number of {value.bit_length():,} bits"


_SHOWN = _Shown()
_SHOWN.maxlevel, _SHOWN.maxlist, _SHOWN.maxtuple, _SHOWN.maxdict = 2, 8, 8, 4
_SHOWN.maxstring = _SHOWN.maxlong = _SHOWN.maxother = 80


def short_repr(value: Any, width: int = 60) -> str:
    """A value out of a file, for a message: what is shared or nested in it costs nothing."""
    return _SHOWN.repr(value)[:width]


@contextmanager
def open_zip(path: Path, limit: int) -> Iterator[zipfile.ZipFile]:
    """Opens a zip archive after every byte of its members was compared with its checksum.

    Raises:
        OSError, ValueError, struct.error, zipfile.BadZipFile: it is no plain file, damaged, compressed, or its members
            share bytes, so that it could hold more than the file has bytes.
    """
    check_regular_file(path, limit)
    with path.open("rb") as file:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            names, end = set(), 0
            for item in sorted(archive.infolist(), key=lambda item: item.header_offset):
                if item.compress_type != zipfile.ZIP_STORED or item.flag_bits & 1:
                    raise ValueError("it is compressed")
                if item.header_offset < end or item.file_size != item.compress_size or item.filename in names:
                    raise ValueError("its members share bytes or a name")
                names.add(item.filename)
                end = item.header_offset + HEADER_BYTES + item.file_size
            damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"{short_repr(damaged)} in it is not what was written")
            yield archive


def _check_directory(file: BinaryIO) -> None:
    """Refuses a list of members that would take much more memory than any that torch or numpy writes."""
    if file.read(4) != b"PK\3\4":
        raise ValueError("it is no archive")
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - MOST_TAIL_BYTES, 0))
    tail = file.read()
    last = tail.rfind(b"PK\5\6")
    if last < 0:
        raise ValueError("it ends too early")
    listed = struct.unpack_from("<I", tail, last + 12)[0]
    if listed == ZIP64:
        listed = struct.unpack_from("<Q", tail, tail.rfind(b"PK\6\6", 0, last) + 40)[0]
    if listed > MOST_DIRECTORY_BYTES:
        raise ValueError("it has too many members")
    file.seek(0)
