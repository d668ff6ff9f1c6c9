"""CSV: the open manifest, and the box tables that annotation tools write."""

import csv
from array import array
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.columns import MAX_ROWS, Columns, OnBadRow, check_size, nan_to_inf
from earcli.errors import ManifestError
from earcli.files import unescape_formula, write_csv
from earcli.untrusted.files import short_repr

SIZE_LIMIT = 1 << 30
MAX_ROW_CHARACTERS = 1 << 20
PATH_NAMES = ("image_path", "filename")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
BOXES = (CORNERS, ("x", "y", "w", "h"), ("x", "y", "width", "height"))
HEADER = ("image_path", "x", "y", "width", "height", "subject", "checksum", "source")
NO_BOX = (np.nan,) * 4


def read_table(path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads a CSV with a header: `image_path` or `filename`, and optionally a box, `subject`, `checksum`, `source`.

    A box is `xmin,ymin,xmax,ymax`, `x,y,w,h` or `x,y,width,height` in pixels; four empty cells mean the whole picture.
    Commas, semicolons and tabs separate. Column names are case-insensitive; other columns are ignored.

    Raises:
        ManifestError: the file is missing, larger than 1 GiB, not CSV, or its header lacks a column of pictures.
    """
    check_size(path, SIZE_LIMIT)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            first = file.readline(MAX_ROW_CHARACTERS)
            file.seek(0)
            lines = _Lines(file)
            reader = csv.reader(lines, delimiter=max(",;\t", key=first.count), strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            return _read_rows(path, header, _numbered(reader, lines), on_bad_row)
    except csv.Error as error:
        raise ManifestError(f"{path}, line {reader.line_num}: not CSV ({error}). Fix that line.") from error
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror}).") from error


class _Lines:
    """The lines of a file; refuses rows of too many characters, which the csv module would collect without a limit."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.characters = 0

    def __iter__(self) -> Iterator[str]:
        while line := self.file.readline(MAX_ROW_CHARACTERS + 1 - self.characters):
            self.characters += len(line)
            if self.characters > MAX_ROW_CHARACTERS:
                raise csv.Error(f"a row of more than {MAX_ROW_CHARACTERS:,} characters")
            yield line


def _numbered(reader: Any, lines: _Lines) -> Iterator[tuple[int, list[str]]]:
    for count, row in enumerate(reader):
        if count >= MAX_ROWS:
            raise csv.Error(f"more than {MAX_ROWS:,} rows")
        lines.characters = 0
        if row:
            yield reader.line_num, row


def _read_rows(path: Path, header: list[str], rows: Iterator[tuple[int, list[str]]], on_bad_row: OnBadRow) -> Columns:
    name = next((name for name in PATH_NAMES if name in header), None)
    if name is None:
        names = ", ".join(name[:60] for name in header[:20]) or "nothing"
        raise ManifestError(f"{path}, line 1 has the columns {names}; expected image_path or filename among them.")
    box_names = next((names for names in BOXES if set(names) <= set(header)), None)
    read_box = _box_reader([header.index(n) for n in box_names] if box_names else None)
    path_index, width = header.index(name), len(header)
    texts = {key: header.index(key) for key in ("subject", "checksum", "source") if key in header}
    columns: dict[str, list[str]] = {key: [] for key in texts}
    paths: list[str] = []
    numbers = array("d")
    for line, row in rows:
        if len(row) != width or not row[path_index]:
            problem = "no picture is named" if len(row) == width else f"{len(row)} cells, but the header has {width}"
            on_bad_row(f"{path}, line {line}: {problem}")
            continue
        try:
            numbers.extend(read_box(row))
        except ValueError as error:
            on_bad_row(f"{path}, line {line}: {error}")
            continue
        paths.append(unescape_formula(row[path_index]))
        for key, index in texts.items():
            columns[key].append(unescape_formula(row[index]))
    boxes = np.array(numbers).reshape(-1, 4)
    if box_names == CORNERS:
        boxes[:, 2:] -= boxes[:, :2]
    return Columns(
        paths, boxes, columns.get("subject"), checksums=columns.get("checksum"), sources=columns.get("source")
    )


def _box_reader(indices: list[int] | None) -> Callable[[list[str]], Sequence[float]]:
    """Returns a function from the cells of a row to four numbers; it raises `ValueError` with what is wrong."""
    if indices is None:
        return lambda row: NO_BOX
    cells = itemgetter(*indices)

    def read(row: list[str]) -> Sequence[float]:
        texts = cells(row)
        try:
            values = tuple(map(float, texts))
        except ValueError:
            if not any(text.strip() for text in texts):
                return NO_BOX
            raise ValueError(f"the box is {', '.join(map(short_repr, texts))}, expected four numbers") from None
        if any(value != value for value in values):
            return [float(v) for v in nan_to_inf(np.array(values))]
        return values

    return read


def write_table(path: Path, columns: Columns) -> None:
    """Writes the open manifest: image_path, x, y, width, height, subject, checksum, source."""
    write_csv(path, HEADER, _cells(columns))


def _cells(columns: Columns) -> Iterator[Sequence[str | float]]:
    texts = [column or [""] * len(columns.paths) for column in (columns.subjects, columns.checksums, columns.sources)]
    for name, box, *more in zip(columns.paths, columns.boxes, *texts, strict=True):
        yield name, *_box_cells(box), *more


def _box_cells(box: NDArray[np.float64]) -> list[str]:
    # repr is the shortest text that reads back the same; %.17g writes 0.1 as 0.10000000000000001
    return [""] * 4 if np.isnan(box[0]) else [repr(v).removesuffix(".0") for v in box.tolist()]
