"""Manifests: which pictures a set holds, whichever kind of file says so."""

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
    """The columns of a manifest, and the folder that relative paths start from."""

    root: Path = Path()

    def __len__(self) -> int:
        return len(self.paths)

    def locate(self, index: int) -> Path:
        """The file of one sample."""
        return self.root / self.paths[index]

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
        return replace(self, subjects=names)

    def subject_numbers(self) -> NDArray[np.int64]:
        """(N,) one number per subject; -1 where none is known."""
        if self.subjects is None:
            return np.full(len(self), -1)
        names = np.array(self.subjects)
        numbers = np.unique(names, return_inverse=True)[1].astype(np.int64)
        return np.where(names == "", -1, numbers)


def read_columns(path: Path, refuse: OnBadRow) -> Columns:
    """Reads an annotation file of any kind: `.npy`, CSV, COCO JSON. `refuse` hears of rows that cannot be used.

    Raises:
        ManifestError: the file as a whole cannot be used.
    """
    if path.suffix.lower() not in READERS:
        raise ManifestError(f"{path} is no manifest by its name, wanted one of {', '.join(READERS)}.")
    return READERS[path.suffix.lower()](path, refuse)


def read_manifest(path: Path, root: Path | None = None, refuse: OnBadRow | None = None) -> Manifest:
    """Reads a manifest of any kind.

    Args:
        root: folder that relative paths start from; the manifest's own folder when None.
        refuse: hears of rows that cannot be used and are left out; when None, such a row is an error.

    Raises:
        ManifestError: it is missing, carries code, is of another form, or names no picture.
    """
    columns = read_columns(path, refuse or _stop)
    columns = _without_strangers(columns, path, refuse or _stop)
    if not columns.paths:
        raise ManifestError(f"{path} is empty: it names no picture.")
    root = path.parent if root is None else root
    if not root.is_dir():
        raise ManifestError(f"--root-dir {root} is no folder. Give the folder that the paths in {path} start from.")
    return as_manifest(columns, root)


def path_problem(name: str) -> str | None:
    """What is wrong with a name that an annotation gives a picture, or None.

    A path may leave its folder, as those of `ear prepare` do, but then only for what is called a picture. Nothing else
    outside is ever opened.
    """
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return "is no name of a file"
    if "\0" in name:
        return "is no name of a file"
    outside = (
        name.startswith(("/", "\\"))
        or bool(ntpath.splitdrive(name)[0])
        or (".." in name and ".." in re.split(r"[/\\]", name))
    )
    if outside and not name.lower().endswith(SUFFIXES):
        return f"leaves its folder and does not end in {', '.join(SUFFIXES)}"
    return None


def _without_strangers(columns: Columns, path: Path, refuse: OnBadRow) -> Columns:
    good = []
    for row, name in enumerate(columns.paths):
        wrong = path_problem(name)
        if wrong is None:
            good.append(row)
        else:
            refuse(f"{path}: {short_repr(name)} {wrong}")
    return columns if len(good) == len(columns.paths) else columns.subset(good)


def as_manifest(columns: Columns, root: Path) -> Manifest:
    """Columns with the folder that their relative paths start from."""
    return Manifest(**{item.name: getattr(columns, item.name) for item in fields(Columns)}, root=root)


def write_columns(path: Path, columns: Columns, sizes: Sequence[tuple[int, int]]) -> None:
    """Writes the kind of manifest that the name ends in, whole or not at all.

    Args:
        sizes: width and height of each sample's picture in pixels, which COCO has and the others do not.

    Raises:
        RunError: it cannot be written.
    """
    kind = path.suffix.lower()
    if kind == ".json":
        write_coco(path, columns, sizes)
    else:
        {".npy": write_npy, ".csv": write_table}[kind](path, columns)


def write_manifest(path: Path, paths: Sequence[str], boxes: Sequence[Sequence[float] | None]) -> None:
    """Writes the original `.npy` format, which `np.load(path, allow_pickle=True).item()` reads."""
    rows = np.array([[np.nan] * 4 if box is None else box for box in boxes], dtype=np.float64)
    write_npy(path, Columns(list(paths), rows.reshape(-1, 4)))


def _stop(message: str) -> NoReturn:
    raise ManifestError(message.rstrip(".") + ".")
