"""Manifests: which pictures a set holds. The `.npy` of the original project, read without running code."""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from earcli.errors import ManifestError

SubjectSource = Literal["column", "folder", "none"]

RECONSTRUCT_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")


@dataclass(frozen=True)
class Manifest:
    """One sample a row: an image path, an optional box, an optional subject.

    Attributes:
        paths: absolute, or relative to `root`.
        boxes: (N, 4) of x, y, width, height in pixels; a row of NaN means the whole picture.
        subjects: a name per sample, or None when no subject is known.
        root: folder that relative paths start from.
    """

    paths: list[str]
    boxes: NDArray[np.float64]
    subjects: list[str] | None
    root: Path

    def __len__(self) -> int:
        return len(self.paths)

    def locate(self, index: int) -> Path:
        """The file of one sample."""
        return self.root / self.paths[index]

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> "Manifest":
        """The samples at `indices`, in that order."""
        subjects = None if self.subjects is None else [self.subjects[i] for i in indices]
        return Manifest([self.paths[i] for i in indices], self.boxes[list(indices)], subjects, self.root)

    def limit(self, count: int | None, seed: int) -> "Manifest":
        """So many samples, drawn by `seed`, in the manifest's order; all of them for None."""
        if count is None or count >= len(self):
            return self
        return self.subset(np.sort(np.random.default_rng(seed).permutation(len(self))[:count]))

    def with_subjects(self, source: SubjectSource) -> "Manifest":
        """Names who is on each picture: as the manifest's column says, after the picture's folder, or nobody."""
        if source == "column":
            return self
        names = [self.locate(index).parent.name for index in range(len(self))] if source == "folder" else None
        return Manifest(self.paths, self.boxes, names, self.root)

    def subject_numbers(self) -> NDArray[np.int64]:
        """(N,) one number per subject; -1 where none is known."""
        if self.subjects is None:
            return np.full(len(self), -1)
        return np.unique(np.array(self.subjects), return_inverse=True)[1].astype(np.int64)


def read_manifest(path: Path, root: Path | None = None) -> Manifest:
    """Reads a `.npy` manifest: a pickled dict of `image_paths`, `bboxes` and optionally `subjects`.

    Args:
        root: folder that relative paths start from; the manifest's own folder when None.

    Raises:
        ManifestError: it is missing, carries code, is no such dict, or its columns do not fit together.
    """
    content = _unpickle(path)
    if isinstance(content, np.ndarray) and content.shape == ():
        content = content.item()
    if not isinstance(content, dict):
        raise ManifestError(f"{path} holds {_kind(content)}, wanted a dict of image_paths and bboxes.")
    for key in ("image_paths", "bboxes"):
        if key not in content:
            found = ", ".join(map(str, content)) or "nothing"
            raise ManifestError(f"{path} has no {key!r} (it has {found}). A manifest needs image_paths and bboxes.")
    paths = [_text(value, path, "image_paths") for value in _column(content, "image_paths", path)]
    boxes = _column(content, "bboxes", path)
    subjects = content.get("subjects")
    names = None if subjects is None else [str(value) for value in _column(content, "subjects", path)]
    for key, column in (("bboxes", boxes), ("subjects", names)):
        if column is not None and len(column) != len(paths):
            raise ManifestError(f"{path} has {len(paths)} image_paths but {len(column)} {key}; each needs one.")
    if not paths:
        raise ManifestError(f"{path} is empty: it names no picture.")
    root = path.parent if root is None else root
    if not root.is_dir():
        raise ManifestError(f"--root-dir {root} is no folder. Give the folder that the paths in {path} start from.")
    return Manifest(paths, _box_array(boxes, path), names, root)


def write_manifest(path: Path, paths: Sequence[str], boxes: Sequence[Sequence[float] | None]) -> None:
    """Writes the original `.npy` format, which `np.load(path, allow_pickle=True).item()` reads."""
    column = np.empty(len(boxes), dtype=object)
    column[:] = [None if box is None else list(box) for box in boxes]
    content: Any = {"image_paths": np.array(paths), "bboxes": column}
    np.save(path, content, allow_pickle=True)


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            if dtype != np.dtype(object) or shape != ():
                raise ManifestError(f"{path} holds an array of {dtype}, wanted a dict of image_paths and bboxes.")
            return _PlainUnpickler(file).load()
    except FileNotFoundError as error:
        raise ManifestError(
            f"{path} does not exist. Give --train-manifest and --val-manifest; `ear synth DIR` draws a set to try."
        ) from error
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
        return list(value)
    if isinstance(value, list | tuple):
        return list(value)
    raise ManifestError(f"{path}: {key} is {_kind(value)}, wanted a list or an array.")


def _text(value: Any, path: Path, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise ManifestError(f"{path}: {key} holds {value!r}, wanted file names.")
    return str(value)


def _box_array(boxes: list[Any], path: Path) -> NDArray[np.float64]:
    result = np.full((len(boxes), 4), np.nan)
    for row, box in enumerate(boxes):
        if box is None:
            continue
        try:
            values = np.asarray(box, dtype=np.float64)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (4,):
            raise ManifestError(f"{path}: bboxes[{row}] is {box!r}, wanted [x, y, width, height] in pixels or None.")
        # a NaN that the file holds must not read as "no box"
        result[row] = np.where(np.isnan(values), np.inf, values)
    return result


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
