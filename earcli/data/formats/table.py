"""CSV: the open manifest, and the box tables that annotation tools write."""

import csv
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.columns import (
    MAX_ROWS,
    Columns,
    Keypoints,
    OnBadRow,
    check_size,
    nan_to_inf,
    parse_side,
)
from earcli.data.formats.shapes import positive_size
from earcli.data.formats.via import is_via_table, read_via_table
from earcli.errors import ManifestError, UnknownFormatError
from earcli.files import unescape_formula, write_csv
from earcli.untrusted.csv_rows import BoundedRows
from earcli.untrusted.files import short_repr

SIZE_LIMIT = 1 << 30
HEADER = ("image_path", "x", "y", "width", "height", "subject", "checksum", "source")
NO_BOX = (np.nan,) * 4
# column names are compared without case, spaces, hyphens and underscores
PATHS = ("imagepath", "filename", "imagename", "image", "img", "filepath", "path", "file", "picture")
CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
    ("bboxxmin", "bboxymin", "bboxxmax", "bboxymax"),
    ("bboxx1", "bboxy1", "bboxx2", "bboxy2"),
    ("xtl", "ytl", "xbr", "ybr"),
)
SIDES = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
    ("xmin", "ymin", "width", "height"),
    ("xmin", "ymin", "w", "h"),
    ("bboxx", "bboxy", "bboxw", "bboxh"),
    ("bboxx", "bboxy", "bboxwidth", "bboxheight"),
    ("bboxleft", "bboxtop", "bboxwidth", "bboxheight"),
)
CATEGORIES = ("class", "classname", "label", "labelname", "category", "categoryname", "name")
SIZES = (("imagewidth", "imageheight"), ("imgwidth", "imgheight"), ("width", "height"))
GEOMETRY = re.compile(
    r"^(x|y|w|h|[xy]\d|.*(bbox|box|left|top|right|bottom|min|max|polygon|points?|region|landmark).*)$"
)
"""Names of columns that look like a box or points."""


def read_table(path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads a CSV with a header: a column of pictures, and optionally a box, key points, a category and a subject.

    The picture is `image_path`, `filename` and the like; a box is `xmin,ymin,xmax,ymax`, `x,y,width,height` and the
    like in pixels, and four empty cells mean the whole picture; a key point is `NAME_x`, `NAME_y` and optionally
    `NAME_visible`. Commas, semicolons and tabs separate; beside the last two, numbers may have a decimal comma.

    Raises:
        UnknownFormatError: Its header has no column of pictures, or columns that look like a box but are none.
        ManifestError: the file is missing, larger than 1 GiB, or not CSV.
    """
    check_size(path, SIZE_LIMIT)
    rows = None
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = BoundedRows(file, MAX_ROWS)
            header = [name.strip().lower() for name in rows.header]
            if is_via_table(header):
                full = _full_rows(path, header, rows, on_bad_row)
                named = ((line, dict(zip(header, row, strict=True))) for line, row in full)
                return read_via_table(named, path, on_bad_row)
            return _read_rows(path, header, rows, on_bad_row)
    except csv.Error as error:
        raise ManifestError(f"{path}, line {rows.line if rows else 1}: not CSV ({error}). Fix that line.") from error
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror}).") from error


def _full_rows(
    path: Path, header: Sequence[str], rows: BoundedRows, on_bad_row: OnBadRow
) -> Iterator[tuple[int, list[str]]]:
    """The lines with as many cells as the header."""
    for line, row in rows:
        if len(row) == len(header):
            yield line, row
        else:
            on_bad_row(f"{path}, line {line}: {len(row)} cells, but the header has {len(header)}")


@dataclass(frozen=True)
class _Layout:
    """Where the columns are, by their position."""

    path: int
    box: tuple[int, ...]
    corners: bool
    points: dict[str, tuple[int, ...]]
    category: int | None
    size: tuple[int, int] | None
    texts: dict[str, int]


def _layout(path: Path, header: list[str]) -> _Layout:
    names = [re.sub(r"[\s_-]", "", name) for name in header]
    listed = ", ".join(name[:60] for name in header[:20]) or "nothing"
    picture = next((names.index(name) for name in PATHS if name in names), None)
    if picture is None:
        raise UnknownFormatError(
            f"{path}, line 1 has the columns {listed}; expected image_path or filename among them."
        )
    box = next((item for item in (*CORNERS, *SIDES) if set(item) <= set(names)), ())
    points = _point_columns(header)
    used = {names.index(name) for name in box} | {index for group in points.values() for index in group}
    strange = [header[i] for i, name in enumerate(names) if i not in used and i != picture and GEOMETRY.match(name)]
    if strange and not box:
        raise UnknownFormatError(
            f"{path}, line 1: {', '.join(strange[:8])} may be a box or points, but in no form that ear reads. Name the "
            "columns of a box xmin, ymin, xmax, ymax or x, y, width, height."
        )
    size = next((pair for pair in SIZES if set(pair) <= set(names) and not set(pair) & set(box)), None)
    return _Layout(
        picture,
        tuple(names.index(name) for name in box),
        box in CORNERS,
        points,
        next((names.index(name) for name in CATEGORIES if name in names), None),
        (names.index(size[0]), names.index(size[1])) if size else None,
        {key: names.index(key) for key in ("subject", "checksum", "source", "side") if key in names},
    )


def _point_columns(header: list[str]) -> dict[str, tuple[int, ...]]:
    """The positions of x, y and, where there is one, visibility of each key point."""
    result = {}
    for index, column in enumerate(header):
        name = column.removesuffix("_x")
        if name != column and name and f"{name}_y" in header:
            more = [header.index(f"{name}_{last}") for last in ("visible", "v") if f"{name}_{last}" in header]
            result[name] = (index, header.index(f"{name}_y"), *more[:1])
    return result


def _read_rows(path: Path, header: list[str], rows: BoundedRows, on_bad_row: OnBadRow) -> Columns:
    layout = _layout(path, header)
    texts: dict[str, list[str]] = {key: [] for key in layout.texts}
    paths: list[str] = []
    boxes = array("d")
    keypoints: list[Keypoints | None] = []
    categories: list[str] = []
    sizes: list[tuple[int, int] | None] = []
    for line, row in _full_rows(path, header, rows, on_bad_row):
        try:
            if not row[layout.path]:
                raise ValueError("no picture is named")
            box = _box([row[i] for i in layout.box], layout.corners)
            points = _keypoints(row, layout.points)
            side = parse_side(row[layout.texts["side"]]) if "side" in layout.texts else ""
        except ValueError as error:
            on_bad_row(f"{path}, line {line}: {error}")
            continue
        paths.append(unescape_formula(row[layout.path]))
        boxes.extend(box)
        if layout.points:
            keypoints.append(points)
        if layout.category is not None:
            categories.append(unescape_formula(row[layout.category]))
        if layout.size is not None:
            sizes.append(positive_size(*(row[i] for i in layout.size)))
        for key, index in layout.texts.items():
            texts[key].append(side if key == "side" else unescape_formula(row[index]))
    return Columns(
        paths,
        np.array(boxes).reshape(-1, 4),
        texts.get("subject"),
        keypoints=keypoints if any(keypoints) else None,
        checksums=texts.get("checksum"),
        sources=texts.get("source"),
        sides=texts.get("side"),
        categories=categories or None,
        sizes=sizes or None,
    )


def _box(texts: Sequence[str], corners: bool) -> Sequence[float]:
    """Four numbers from the cells of a box; raises `ValueError` with what is wrong."""
    if not any(map(str.strip, texts)):
        return NO_BOX
    try:
        x, y, a, b = map(_number, texts)
    except ValueError:
        raise ValueError(f"the box is {', '.join(map(short_repr, texts))}, expected four numbers") from None
    box = (x, y, a - x, b - y) if corners else (x, y, a, b)
    return box if all(value == value for value in box) else nan_to_inf(np.array(box)).tolist()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        if text.count(",") == 1:
            return float(text.replace(",", "."))
        raise


def _keypoints(row: Sequence[str], columns: Mapping[str, tuple[int, ...]]) -> Keypoints | None:
    """The key points of a row; one whose cells are empty is not labeled."""
    points = []
    for name, indices in columns.items():
        texts = [row[index].strip() for index in indices]
        if not texts[0] and not texts[1]:
            points.append([0.0, 0.0, 0.0])
            continue
        try:
            x, y, *more = map(_number, texts)
        except ValueError:
            raise ValueError(f"point {name!r} is {', '.join(map(short_repr, texts))}, expected numbers") from None
        visibility = 2.0 if not more else more[0] if more[0] in (0, 1, 2) else 1.0 + (more[0] >= 0.5)
        points.append([x, y, visibility])
    if not np.isfinite(points).all():
        raise ValueError("the points are not all finite")
    array_ = np.array(points).reshape(-1, 3)
    return Keypoints(tuple(columns), array_) if array_.size and array_[:, 2].any() else None


def write_table(path: Path, columns: Columns) -> None:
    """Writes the open manifest: image_path, x, y, width, height, subject, checksum, source, and side if it is known."""
    write_csv(path, (*HEADER, "side") if columns.sides else HEADER, _cells(columns))


def _cells(columns: Columns) -> Iterator[Sequence[str | float]]:
    texts = [column or [""] * len(columns.paths) for column in (columns.subjects, columns.checksums, columns.sources)]
    texts += [columns.sides] if columns.sides else []
    for name, box, *more in zip(columns.paths, columns.boxes, *texts, strict=True):
        yield name, *_box_cells(box), *more


def _box_cells(box: NDArray[np.float64]) -> list[str]:
    # repr is the shortest text that reads back the same; %.17g writes 0.1 as 0.10000000000000001
    return [""] * 4 if np.isnan(box[0]) else [repr(v).removesuffix(".0") for v in box.tolist()]
