"""The `.npy` of the original project: a pickled dict, read without running code."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.columns import Columns, Keypoints, Refuse, check_size, finite_or_inf, numbered
from earcli.errors import ManifestError
from earcli.files import replacing

SIZE_LIMIT = 1 << 30
RECONSTRUCT_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
NO_BOX = (np.nan,) * 4


def read_npy(path: Path, refuse: Refuse) -> Columns:
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
            found = ", ".join(map(str, content)) or "nothing"
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
        raise ManifestError(f"{path}: image_paths holds {wrong[0]!r}, wanted file names.")
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
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, content, allow_pickle=True)


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            if dtype != np.dtype(object) or shape != ():
                raise ManifestError(f"{path} holds an array of {dtype}, wanted a dict of image_paths and bboxes.")
            return _PlainUnpickler(file).load()
    except _ForbiddenError as error:
        raise ManifestError(
            f"{path} carries {error}, and none of it was run. A manifest holds dicts, lists, strings, numbers."
        ) from error
    except ManifestError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise ManifestError(f"{path} is no .npy manifest, or is damaged ({type(error).__name__}: {error}).") from error


class _ForbiddenError(Exception):
    pass


def _reconstruct(subtype: type, shape: tuple[int, ...], dtype: bytes) -> NDArray[Any]:
    # numpy always writes an empty array here and fills it later: any other shape is an attack on memory
    if subtype is not np.ndarray or shape != (0,):
        raise _ForbiddenError(f"an array of shape {shape} out of nothing")
    return np.ndarray(shape, np.dtype(dtype.decode()))


def _scalar(dtype: np.dtype[Any], value: bytes) -> Any:
    if dtype.hasobject or not isinstance(value, bytes):
        raise _ForbiddenError("a scalar that is no number")
    return np.frombuffer(value, dtype, count=1)[0]


ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{(module, "_reconstruct"): _reconstruct for module in RECONSTRUCT_MODULES},
    **{(module, "scalar"): _scalar for module in RECONSTRUCT_MODULES},
}


class _PlainUnpickler(pickle.Unpickler):
    """Admits what numpy writes for arrays of plain values, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise _ForbiddenError(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> NoReturn:
        raise _ForbiddenError("a reference to something outside the file")


def _column(content: dict[Any, Any], key: str, path: Path) -> list[Any]:
    value = content[key]
    if isinstance(value, np.ndarray) and value.ndim >= 1:
        # tolist() makes plain values of numpy's, but would make lists of the rows of a table
        return value.tolist() if value.ndim == 1 else list(value)
    if isinstance(value, list | tuple):
        return list(value)
    raise ManifestError(f"{path}: {key} is {_kind(value)}, wanted a list or an array.")


def _box_array(boxes: list[Any], path: Path, refuse: Refuse) -> tuple[NDArray[np.float64], list[int] | range]:
    """(N, 4), and the rows that hold a box or None."""
    absent = np.fromiter((box is None for box in boxes), dtype=bool, count=len(boxes))
    try:
        result = np.array([NO_BOX if box is None else box for box in boxes], dtype=np.float64)
    except (TypeError, ValueError):
        result = np.empty(0)
    if result.shape == (len(boxes), 4):
        result = finite_or_inf(result)
        result[absent] = np.nan
        return result, range(len(boxes))
    result, good = np.full((len(boxes), 4), np.nan), []  # something is wrong: find the rows
    for row, box in enumerate(boxes):
        try:
            values = np.asarray(NO_BOX if box is None else box, dtype=np.float64)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (4,):
            refuse(f"{path}: bboxes[{row}] is {box!r:.60}, wanted [x, y, width, height] in pixels or None.")
            continue
        result[row] = values if box is None else finite_or_inf(values)
        good.append(row)
    return result, good


def _keypoints(column: list[Any] | None, path: Path, refuse: Refuse) -> tuple[list[Keypoints | None] | None, set[int]]:
    """Key points, and the rows that hold some or None."""
    if column is None:
        return None, set()
    result: list[Keypoints | None] = []
    good = set()
    for row, value in enumerate(column):
        try:
            points = None if value is None else np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            points = np.empty(0)
        result.append(None)
        if points is not None and (points.ndim != 2 or points.shape[1] not in (2, 3) or not np.isfinite(points).all()):
            refuse(f"{path}: keypoints[{row}] is {value!r:.60}, wanted x, y or x, y, visibility for each point")
            continue
        good.add(row)
        if points is not None:
            seen = points if points.shape[1] == 3 else np.pad(points, ((0, 0), (0, 1)), constant_values=2)
            result[row] = Keypoints(numbered(len(seen)), seen)
    return result, good


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
