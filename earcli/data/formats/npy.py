"""The `.npy` of the original project: a pickled dict, read without running code."""

import io
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.columns import (
    MOST_ROWS,
    Columns,
    Keypoints,
    OnBadRow,
    check_size,
    default_point_names,
    nan_to_inf,
)
from earcli.errors import ManifestError
from earcli.files import atomic_write
from earcli.untrusted.files import read_bounded, short_repr
from earcli.untrusted.numpy_pickles import ArrayUnpickler, value_of
from earcli.untrusted.pickles import ForbiddenError

SIZE_LIMIT = 1 << 30
MOST_POINTS = 10_000_000
SUBJECT_TYPES = (str, int, float, np.generic, type(None))
NO_BOX = (np.nan,) * 4


def read_npy(path: Path, refuse: OnBadRow) -> Columns:
    """Reads a pickled dict of `image_paths`, `bboxes` and optionally `subjects` and `keypoints`.

    Key points are None or x and y in pixels for each, with or without COCO's visibility behind them.

    Raises:
        ManifestError: it is missing, larger than 1 GiB, carries code, is no such dict, or its columns do not fit
            together.
    """
    check_size(path, SIZE_LIMIT)
    content = _unpickle(path)
    if isinstance(content, np.ndarray) and content.shape == ():
        content = content.item()
    if not isinstance(content, dict):
        raise ManifestError(f"{path} holds {_kind(content)}, wanted a dict of image_paths and bboxes.")
    for key in ("image_paths", "bboxes"):
        if key not in content:
            found = ", ".join(str(key)[:60] for key in list(content)[:8]) or "nothing"
            raise ManifestError(f"{path} has no {key!r} (it has {found}). A manifest needs image_paths and bboxes.")
    paths = _column(content, "image_paths", path)
    boxes = _column(content, "bboxes", path)
    subjects = None if content.get("subjects") is None else _column(content, "subjects", path)
    points = None if content.get("keypoints") is None else _column(content, "keypoints", path)
    for key, column in (("bboxes", boxes), ("subjects", subjects), ("keypoints", points)):
        if column is not None and len(column) != len(paths):
            raise ManifestError(f"{path} has {len(paths)} image_paths but {len(column)} {key}; each needs one.")
    wrong = [value for value in paths if not isinstance(value, str) or not value]
    if wrong:
        raise ManifestError(f"{path}: image_paths holds {short_repr(wrong[0])}, wanted file names.")
    strange = [value for value in subjects or () if not isinstance(value, SUBJECT_TYPES)]
    if strange:
        raise ManifestError(f"{path}: subjects holds {short_repr(strange[0])}, wanted names or None.")
    array, good = _box_array(boxes, path, refuse)
    keypoints, whole = _keypoints(points, path, refuse)
    good = [row for row in good if row in whole] if keypoints else good
    if len(good) < len(paths):
        paths, array = [paths[i] for i in good], array[good]
        subjects = None if subjects is None else [subjects[i] for i in good]
        keypoints = None if keypoints is None else [keypoints[i] for i in good]
    names = None if subjects is None else ["" if v is None else str(v) for v in subjects]
    return Columns(paths, array, names, keypoints=keypoints)


def write_npy(path: Path, columns: Columns) -> None:
    """Writes what `np.load(path, allow_pickle=True).item()` reads; key points, checksums and sources are left out."""
    boxes = np.empty(len(columns.paths), dtype=object)
    boxes[:] = [None if np.isnan(box[0]) else box.tolist() for box in columns.boxes]
    content: Any = {"image_paths": np.array(columns.paths), "bboxes": boxes}
    if columns.subjects is not None:
        content["subjects"] = np.array(columns.subjects)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, content, allow_pickle=True)


def _unpickle(path: Path) -> Any:
    try:
        data = read_bounded(path, SIZE_LIMIT)
        start = io.BytesIO(data)
        version = np.lib.format.read_magic(start)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(start)
        if dtype != np.dtype(object) or shape != ():
            raise ManifestError(f"{path} holds an array of {dtype}, wanted a dict of image_paths and bboxes.")
        return value_of(ArrayUnpickler(data, start.tell()).load())
    except ForbiddenError as error:
        raise ManifestError(
            f"{path} carries {error}, and none of it was run. A manifest holds dicts, lists, strings, numbers."
        ) from error
    except ManifestError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise ManifestError(f"{path} is no .npy manifest, or is damaged ({type(error).__name__}: {error}).") from error


def _column(content: dict[Any, Any], key: str, path: Path) -> list[Any]:
    value = value_of(content[key])
    if not isinstance(value, list | tuple) and not (isinstance(value, np.ndarray) and value.ndim):
        raise ManifestError(f"{path}: {key} is {_kind(value)}, wanted a list or an array.")
    if len(value) > MOST_ROWS:
        raise ManifestError(f"{path}: {key} has {len(value):,} rows, at most {MOST_ROWS:,} are read. Split the set.")
    try:
        # tolist() makes plain values of numpy's, but would make lists of the rows of a table
        rows = value.tolist() if isinstance(value, np.ndarray) and value.ndim == 1 else value
    except Exception as error:  # numbers that are no letters; numpy raises even SystemError
        raise ManifestError(f"{path}: {key} is damaged ({error}).") from error
    return list(map(value_of, rows))


def _box_array(boxes: list[Any], path: Path, refuse: OnBadRow) -> tuple[NDArray[np.float64], list[int] | range]:
    """(N, 4), and the rows that hold a box or None."""
    absent = np.fromiter((box is None for box in boxes), dtype=bool, count=len(boxes))
    rows = [NO_BOX if box is None else box for box in boxes]
    result = _numbers(rows, 4)
    if result is not None:
        result = nan_to_inf(result)
        result[absent] = np.nan
        return result, range(len(boxes))
    result, good = np.full((len(boxes), 4), np.nan), []  # something is wrong: find the rows
    for row, box in enumerate(boxes):
        values = _numbers([rows[row]], 4)
        if values is None:
            refuse(f"{path}: bboxes[{row}] is {short_repr(box)}, wanted [x, y, width, height] in pixels or None.")
            continue
        result[row] = values[0] if box is None else nan_to_inf(values[0])
        good.append(row)
    return result, good


def _numbers(rows: Any, width: int) -> NDArray[np.float64] | None:
    """(N, width) of rows of so many numbers, or None where anything else is among them.

    Numbers are taken one by one: given the rows, numpy would look into lists in lists, which a small file can make as
    many as it likes of.
    """
    if not all(isinstance(row, list | tuple | np.ndarray) for row in rows):
        return None
    try:
        if set(map(len, rows)) <= {width}:
            return np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * width).reshape(-1, width)
    except (TypeError, ValueError, OverflowError):
        pass
    return None


def _keypoints(
    column: list[Any] | None, path: Path, refuse: OnBadRow
) -> tuple[list[Keypoints | None] | None, set[int]]:
    """Key points, and the rows that hold some or None."""
    if column is None:
        return None, set()
    result: list[Keypoints | None] = []
    good = set()
    known: dict[int, Keypoints | None] = {}  # by the identity of what the column holds: it may hold one thing often
    for row, value in enumerate(column):
        if id(value) not in known:
            known[id(value)] = _points(value)
        result.append(known[id(value)])
        if value is None or result[row] is not None:
            good.add(row)
        else:
            refuse(f"{path}: keypoints[{row}] is {short_repr(value)}, wanted x, y or x, y, visibility for each point")
    if sum(len(points.names) for points in result if points is not None) > MOST_POINTS:
        raise ManifestError(f"{path} has more than {MOST_POINTS:,} key points. Split the set.")
    return result, good


def _points(value: Any) -> Keypoints | None:
    """Finite points, with or without visibility; None for anything else."""
    if not isinstance(value, list | tuple) and not (isinstance(value, np.ndarray) and value.ndim):
        return None
    rows = list(map(value_of, value))
    for width in (2, 3):
        points = _numbers(rows, width)
        if points is not None and len(points) and np.isfinite(points).all():
            seen = points if width == 3 else np.pad(points, ((0, 0), (0, 1)), constant_values=2)
            return Keypoints(default_point_names(len(seen)), seen)
    return None


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
