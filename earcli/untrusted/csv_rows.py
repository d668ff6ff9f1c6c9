"""The rows of a CSV from elsewhere, with limits on their number and length."""

import csv
from collections.abc import Iterator
from typing import Any, TextIO

MAX_CHARACTERS = 1 << 20
"""Characters in one row, which the csv module would collect without a limit."""


class BoundedRows:
    """Iterates over the rows that are not empty, with the number of their line; commas, semicolons or tabs separate.

    Args:
        file: Opened at its start.
        most: The largest number of rows.

    Attributes:
        header: The cells of the first row.

    Raises:
        csv.Error: It is not CSV, or a limit is exceeded.
    """

    def __init__(self, file: TextIO, most: int) -> None:
        self._file, self._most, self._characters = file, most, 0
        first = file.readline(MAX_CHARACTERS)
        file.seek(0)
        self._reader: Any = csv.reader(self._lines(), delimiter=max(",;\t", key=first.count), strict=True)
        self.header: list[str] = []
        self.header = next(self._reader, [])

    @property
    def line(self) -> int:
        """The number of the last line that was read."""
        return int(self._reader.line_num)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        for count, row in enumerate(self._reader):
            if count >= self._most:
                raise csv.Error(f"more than {self._most:,} rows")
            self._characters = 0
            if row:
                yield self.line, row

    def _lines(self) -> Iterator[str]:
        while line := self._file.readline(MAX_CHARACTERS + 1 - self._characters):
            self._characters += len(line)
            if self._characters > MAX_CHARACTERS:
                raise csv.Error(f"a row of more than {MAX_CHARACTERS:,} characters")
            yield line
