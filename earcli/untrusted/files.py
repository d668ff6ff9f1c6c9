"""Regular files of bounded size, and zip archives whose checksums hold."""

import errno
import reprlib
import stat
import zipfile
from pathlib import Path
from typing import Any

SMALL = 1 << 20
"""Size limit of configurations and other small files, in bytes."""
LARGE = 1 << 40
"""Size limit of weights, in bytes."""

_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxlist, _REPR.maxtuple = 2, 8, 8
_REPR.maxstring = _REPR.maxother = 80


def check_regular_file(path: Path, limit: int) -> int:
    """Returns the size of a file in bytes.

    Raises:
        OSError: it does not exist, is not a regular file (a pipe or a device would block forever), or is larger than
            `limit` bytes; `strerror` says which.
        ValueError: `path` is not a valid file name.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if status.st_size > limit:
        raise OSError(errno.EFBIG, f"{status.st_size:,} bytes, over the limit of {limit:,}", str(path))
    return status.st_size


def read_bounded(path: Path, limit: int = SMALL) -> bytes:
    """Reads a regular file of at most `limit` bytes.

    Raises:
        OSError, ValueError: as `check_regular_file`.
    """
    size = check_regular_file(path, limit)
    with path.open("rb") as file:
        return file.read(size)


def check_archive(path: Path, limit: int) -> None:
    """Verifies the CRC-32 of every member of a zip archive that numpy or torch wrote uncompressed.

    Raises:
        OSError: as `check_regular_file`.
        Exception: the archive is damaged or compressed; `zipfile` raises errors of many types.
    """
    check_regular_file(path, limit)
    with zipfile.ZipFile(path) as archive:
        if any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist()):
            raise ValueError("the archive is compressed")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {short_repr(damaged)} does not match")


def short_repr(value: Any, width: int = 60) -> str:
    """The `repr` of an untrusted value, cut to `width` characters; nested values are not expanded.

    >>> short_repr([[[1]]])
    '[[[...]]]'
    """
    try:
        return _REPR.repr(value)[:width]
    except ValueError:  # Python refuses to print integers of thousands of digits
        return f"a large {type(value).__name__}"
