"""Manifests: the pictures of a set, read from `.npy`, CSV or COCO JSON."""

import ntpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.coco import read_coco, write_coco
from earcli.data.formats.columns import Columns, OnBadRow
from earcli.data.formats.npy import read_npy, write_npy
from earcli.data.formats.table import read_table, write_table
from earcli.data.images import SUFFIXES
from earcli.errors import ManifestError
from earcli.untrusted.files import short_repr

SubjectSource = Literal["column", "folder", "none"]

READERS: dict[str, Callable[[Path, OnBadRow], Columns]] = {".npy": read_npy, ".csv": read_table, ".json": read_coco}


@dataclass(frozen=True)
class Manifest(Columns):
    """The columns of a manifest, and the folder that its relative paths start from."""

    root: Path = Path()

    def __len__(self) -> int:
        return len(self.paths)

    def locate(self, index: int) -> Path:
        """The picture file of one sample."""
        return self.root / self.paths[index]

    def limit(self, count: int | None, seed: int) -> "Manifest":
        """A random subset of `count` samples in the manifest's order; all of them for None."""
        if count is None or count >= len(self):
            return self
        return self.subset(np.sort(np.random.default_rng(seed).permutation(len(self))[:count]))

    def with_subjects(self, source: SubjectSource) -> "Manifest":
        """Sets the subject of each sample from the manifest's column, the name of the picture's folder, or to None."""
        if source == "column":
            return self
        names = [self.locate(index).parent.name for index in range(len(self))] if source == "folder" else None
        return replace(self, subjects=names)

    def subject_numbers(self) -> NDArray[np.int64]:
        """(N,) one number per subject; -1 where the subject is unknown."""
        if self.subjects is None:
            return np.full(len(self), -1)
        names = np.array(self.subjects)
        numbers = np.unique(names, return_inverse=True)[1].astype(np.int64)
        return np.where(names == "", -1, numbers)


def read_columns(path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads an annotation file: `.npy`, CSV or COCO JSON. `on_bad_row` is called for each row that cannot be used.

    Raises:
        ManifestError: the file as a whole cannot be used.
    """
    if path.suffix.lower() not in READERS:
        raise ManifestError(f"{path} is not a manifest by its name, expected one of {', '.join(READERS)}.")
    return READERS[path.suffix.lower()](path, on_bad_row)


def read_manifest(path: Path, root: Path | None = None, on_bad_row: OnBadRow | None = None) -> Manifest:
    """Reads a manifest: `.npy`, CSV or COCO JSON.

    Args:
        path: the file.
        root: folder that relative paths start from; the manifest's own folder when None.
        on_bad_row: called with the reason for each row that is left out; None raises instead.

    Raises:
        ManifestError: the file is missing, carries code, is malformed, or names no picture.
    """
    columns = read_columns(path, on_bad_row or _stop)
    columns = _drop_unsafe_paths(columns, path, on_bad_row or _stop)
    if not columns.paths:
        raise ManifestError(f"{path} is empty: it names no picture.")
    root = path.parent if root is None else root
    if not root.is_dir():
        raise ManifestError(f"{root} is not a folder; the paths in {path} are relative to it.")
    return as_manifest(columns, root)


def path_problem(name: str) -> str | None:
    """What is wrong with the path of a picture in an annotation file, or None.

    A path may leave its folder, as those of `ear prepare` do, but then it must have the suffix of a picture, so that no
    other file outside is ever opened.

    >>> path_problem("ears/a.jpg")
    >>> path_problem("../key.txt")[:17]
    'leaves its folder'
    """
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return "is not a valid file name"
    if "\0" in name:
        return "is not a valid file name"
    outside = (
        name.startswith(("/", "\\"))
        or bool(ntpath.splitdrive(name)[0])
        or (".." in name and ".." in re.split(r"[/\\]", name))
    )
    if outside and not name.lower().endswith(SUFFIXES):
        return f"leaves its folder and does not end in {', '.join(SUFFIXES)}"
    return None


def _drop_unsafe_paths(columns: Columns, path: Path, on_bad_row: OnBadRow) -> Columns:
    good = []
    for row, name in enumerate(columns.paths):
        problem = path_problem(name)
        if problem is None:
            good.append(row)
        else:
            on_bad_row(f"{path}: {short_repr(name)} {problem}")
    return columns if len(good) == len(columns.paths) else columns.subset(good)


def as_manifest(columns: Columns, root: Path) -> Manifest:
    """Adds the folder that relative paths start from."""
    return Manifest(**{item.name: getattr(columns, item.name) for item in fields(Columns)}, root=root)


def write_columns(path: Path, columns: Columns, sizes: Sequence[tuple[int, int]]) -> None:
    """Writes a manifest atomically, in the format that the suffix names.

    Args:
        path: ends in `.npy`, `.csv` or `.json`.
        columns: N samples.
        sizes: width and height in pixels of the picture of each of the N samples; only COCO stores them.

    Raises:
        RunError: it cannot be written.
    """
    kind = path.suffix.lower()
    if kind == ".json":
        write_coco(path, columns, sizes)
    else:
        {".npy": write_npy, ".csv": write_table}[kind](path, columns)


def write_manifest(path: Path, paths: Sequence[str], boxes: Sequence[Sequence[float] | None]) -> None:
    """Writes the original `.npy` format, which `np.load(path, allow_pickle=True).item()` reads.

    Args:
        path: the file to write.
        paths: N paths of pictures.
        boxes: N boxes of x, y, width, height in pixels; None is the whole picture.
    """
    rows = np.array([[np.nan] * 4 if box is None else box for box in boxes], dtype=np.float64)
    write_npy(path, Columns(list(paths), rows.reshape(-1, 4)))


def _stop(message: str) -> NoReturn:
    raise ManifestError(message.rstrip(".") + ".")
