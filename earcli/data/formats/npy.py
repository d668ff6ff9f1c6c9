"""The `.npy` manifest of the original project: a pickled dict, read without running code."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.columns import (
    MAX_ROWS,
    Columns,
    Keypoints,
    OnBadRow,
    check_size,
    default_point_names,
    nan_to_inf,
    parse_side,
)
from earcli.errors import ManifestError
from earcli.files import atomic_write
from earcli.untrusted.files import short_repr
from earcli.untrusted.pickles import ForbiddenError, read_pickle

SIZE_LIMIT = 1 << 30
SUBJECT_TYPES = (str, int, float, np.generic, type(None))
NO_BOX = (np.nan,) * 4


def read_npy(path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads a pickled dict of `image_paths`, `bboxes` and optionally `subjects`, `sides` and `keypoints`.

    The key points of an ear are None, or x and y in pixels for each point, optionally followed by COCO's visibility.

    Raises:
        ManifestError: the file is missing, larger than 1 GiB, carries code, is not such a dict, or its columns differ
            in length.
    """
    check_size(path, SIZE_LIMIT)
    content = _unpickle(path)
    if isinstance(content, np.ndarray) and content.shape == ():
        content = content.item()
    if not isinstance(content, dict):
        raise ManifestError(f"{path} holds {_type_name(content)}, expected a dict of image_paths and bboxes.")
    for key in ("image_paths", "bboxes"):
        if key not in content:
            keys = ", ".join(str(key)[:60] for key in list(content)[:8]) or "nothing"
            raise ManifestError(f"{path} has no {key!r} (it has {keys}). A manifest needs image_paths and bboxes.")
    paths = _column(content, "image_paths", path)
    boxes = _column(content, "bboxes", path)
    subjects = None if content.get("subjects") is None else _column(content, "subjects", path)
    sides = None if content.get("sides") is None else _column(content, "sides", path)
    points = None if content.get("keypoints") is None else _column(content, "keypoints", path)
    for key, column in (("bboxes", boxes), ("subjects", subjects), ("sides", sides), ("keypoints", points)):
        if column is not None and len(column) != len(paths):
            raise ManifestError(f"{path} has {len(paths)} image_paths but {len(column)} {key}; each needs one.")
    for value in paths:
        if not isinstance(value, str) or not value:
            raise ManifestError(f"{path}: image_paths holds {short_repr(value)}, expected file names.")
    for value in subjects or ():
        if not isinstance(value, SUBJECT_TYPES):
            raise ManifestError(f"{path}: subjects holds {short_repr(value)}, expected names or None.")
    names = None if subjects is None else ["" if value is None else str(value) for value in subjects]
    array, bad_boxes = _box_array(boxes, path, on_bad_row)
    keypoints, bad_points = _keypoint_column(points, path, on_bad_row)
    known_sides, bad_sides = _side_column(sides, path, on_bad_row)
    columns = Columns(paths, array, names, keypoints=keypoints, sides=known_sides)
    bad = bad_boxes | bad_points | bad_sides
    return columns.subset([row for row in range(len(paths)) if row not in bad]) if bad else columns


def write_npy(path: Path, columns: Columns) -> None:
    """Writes what `np.load(path, allow_pickle=True).item()` reads; key points, checksums and sources are left out."""
    boxes = np.empty(len(columns.paths), dtype=object)
    boxes[:] = [None if np.isnan(box[0]) else box.tolist() for box in columns.boxes]
    content: Any = {"image_paths": np.array(columns.paths), "bboxes": boxes}
    if columns.subjects is not None:
        content["subjects"] = np.array(columns.subjects)
    if columns.sides is not None:
        content["sides"] = np.array(columns.sides)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, content, allow_pickle=True)


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(file)
            if dtype != np.dtype(object) or shape != ():
                raise ManifestError(f"{path} holds an array of {dtype}, expected a dict of image_paths and bboxes.")
            return read_pickle(file)
    except ForbiddenError as error:
        raise ManifestError(
            f"{path} carries {error}, and none of it was run. A manifest holds dicts, lists, strings, numbers."
        ) from error
    except ManifestError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ManifestError(f"{path} is not a .npy manifest, or is damaged ({reason}).") from error


def _column(content: dict[Any, Any], key: str, path: Path) -> list[Any]:
    value = content[key]
    if not isinstance(value, list | tuple) and not (isinstance(value, np.ndarray) and value.ndim):
        raise ManifestError(f"{path}: {key} is {_type_name(value)}, expected a list or an array.")
    if len(value) > MAX_ROWS:
        raise ManifestError(f"{path}: {key} has {len(value):,} rows, expected at most {MAX_ROWS:,}. Split the set.")
    # tolist() turns numpy's values into plain ones, but would turn the rows of a table into lists
    return value.tolist() if isinstance(value, np.ndarray) and value.ndim == 1 else list(value)


def _box_array(boxes: Sequence[Any], path: Path, on_bad_row: OnBadRow) -> tuple[NDArray[np.float64], set[int]]:
    """(N, 4) boxes, NaN for None; and the rows that hold anything else."""
    rows = [NO_BOX if box is None else box for box in boxes]
    absent = np.fromiter((box is None for box in boxes), dtype=bool, count=len(boxes))
    bad: set[int] = set()
    result = _numbers(rows, 4)
    if result is None:
        result = np.full((len(rows), 4), np.nan)
        for row, box in enumerate(rows):
            values = _numbers([box], 4)
            if values is None:
                on_bad_row(
                    f"{path}: bboxes[{row}] is {short_repr(box)}, expected [x, y, width, height] in pixels or None."
                )
                bad.add(row)
            else:
                result[row] = values[0]
    result = nan_to_inf(result)
    result[absent] = np.nan
    return result, bad


def _numbers(rows: Sequence[Any], width: int) -> NDArray[np.float64] | None:
    """(N, width) from N rows of `width` numbers, or None where anything else is among them."""
    if not all(isinstance(row, list | tuple | np.ndarray) for row in rows):
        return None
    try:
        if set(map(len, rows)) <= {width}:
            # number by number: np.array would search lists in lists for more dimensions
            return np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * width).reshape(-1, width)
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass
    return None


def _keypoint_column(
    column: Sequence[Any] | None, path: Path, on_bad_row: OnBadRow
) -> tuple[list[Keypoints | None] | None, set[int]]:
    """The key points of each row, and the rows that hold neither points nor None."""
    if column is None:
        return None, set()
    result = [None if value is None else _points(value) for value in column]
    bad = {row for row, value in enumerate(column) if value is not None and result[row] is None}
    for row in sorted(bad):
        value = short_repr(column[row])
        on_bad_row(f"{path}: keypoints[{row}] is {value}, expected x, y or x, y, visibility for each point")
    return result, bad


def _side_column(column: Sequence[Any] | None, path: Path, on_bad_row: OnBadRow) -> tuple[list[str] | None, set[int]]:
    """The side of each ear, and the rows that hold anything else."""
    if column is None:
        return None, set()
    sides, bad = [""] * len(column), set()
    for row, value in enumerate(column):
        try:
            sides[row] = parse_side(value)
        except ValueError as error:
            on_bad_row(f"{path}: sides[{row}]: {error}")
            bad.add(row)
    return sides, bad


def _points(value: Any) -> Keypoints | None:
    """Finite points, with or without visibility; None for anything else."""
    if not isinstance(value, list | tuple) and not (isinstance(value, np.ndarray) and value.ndim):
        return None
    for width in (2, 3):
        points = _numbers(list(value), width)
        if points is not None and len(points) and np.isfinite(points).all():
            points = points if width == 3 else np.pad(points, ((0, 0), (0, 1)), constant_values=2)
            return Keypoints(default_point_names(len(points)), points)
    return None


def _type_name(value: Any) -> str:
    return f"a {type(value).__name__}"
