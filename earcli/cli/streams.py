"""Standard output and error that outlive their reader and take every character."""

import errno
import io
import os
import sys
from typing import Any, TextIO

from earcli.errors import RunError

# a pipe that nobody reads any more, the same on Windows, a terminal that was closed
GONE = (errno.EPIPE, errno.EINVAL, errno.EIO)
STANDARD_ERROR = 2


class Outlet(io.FileIO):
    """Writes to a file descriptor; once its reader has gone away, what is written is dropped.

    What a command makes is files, and what it prints is about them: a run of days does not end because `head` has
    seen enough.
    """

    def write(self, data: Any) -> int:
        """Raises `RunError` when standard output can be written no more, such as to a full disk."""
        try:
            return super().write(data)
        except OSError as error:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())  # what is left in buffers goes there, instead of failing again
            os.close(null)
            if error.errno in GONE or self.fileno() == STANDARD_ERROR:
                return len(data)
            raise RunError(
                f"The output cannot be written ({error.strerror}). Free space there, or send it elsewhere."
            ) from error


def reopen_closed_streams() -> None:
    """Opens to nowhere what whoever started this has closed, standard input, output or error.

    Else the next file that is opened would be one of them, and get what libraries print.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass
    os.close(number)


def resilient_stream(stream: TextIO | None) -> TextIO:
    """A standard stream through an `Outlet`; characters that its encoding does not have become question marks."""
    if stream is None:  # whoever started this closed it
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123
    if sys.platform == "win32" and stream.isatty():  # the console takes characters, not bytes
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(Outlet(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.isatty(),
    )
