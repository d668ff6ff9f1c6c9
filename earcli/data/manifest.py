"""Manifests: the pictures of a set, read from an annotation file of any format."""

import ntpath
import os
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.coco import write_coco
from earcli.data.formats.columns import Columns, OnBadRow
from earcli.data.formats.npy import write_npy
from earcli.data.formats.registry import read_columns
from earcli.data.formats.table import write_table
from earcli.data.images import SUFFIXES
from earcli.data.placement import MisfitError, are_fractions, fit_to_picture
from earcli.data.resolver import LABEL_FOLDERS, PictureResolver
from earcli.data.walker import walk_files
from earcli.errors import ManifestError
from earcli.untrusted.files import short_repr

SubjectSource = Literal["column", "folder", "none"]


@dataclass(frozen=True)
class Manifest(Columns):
    """The columns of a manifest.

    Attributes:
        root: the folder that relative paths start from.
        changes: what was done to each label to fit it to its picture, such as "scaled by 0.5"; "" for nothing.
    """

    root: Path = Path()
    changes: list[str] | None = None

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

    def describe_changes(self, name: object) -> list[str]:
        """What was done to labels to fit them to their pictures, a line for each kind.

        Args:
            name: what to call the file.
        """
        counts = Counter(filter(None, self.changes or ()))
        return [f"{name}: {count} of {len(self)} labels {change}" for change, count in counts.items()]

    def subject_numbers(self) -> NDArray[np.int64]:
        """(N,) one number per subject; -1 where the subject is unknown."""
        if self.subjects is None:
            return np.full(len(self), -1)
        names = np.array(self.subjects)
        numbers = np.unique(names, return_inverse=True)[1].astype(np.int64)
        return np.where(names == "", -1, numbers)


def read_manifest(path: Path, root: Path | None = None, on_bad_row: OnBadRow | None = None) -> Manifest:
    """Reads a manifest, which is an annotation file of any format.

    Names of pictures are resolved as `PictureResolver` does; one that stands for no picture stays as it is. Boxes and
    points are those of the upright picture, in pixels.

    Args:
        path: the file.
        root: folder that relative paths start from; the manifest's own folder when None.
        on_bad_row: called with the reason for each row that is left out; None raises instead.

    Raises:
        ManifestError: the file is missing, carries code, is malformed, names no picture, or has annotations of several
            categories.
    """
    on_bad_row = on_bad_row or _stop
    columns = _drop_unsafe_paths(read_columns(path, on_bad_row)[1], path, on_bad_row)
    if not columns.paths:
        raise ManifestError(f"{path} is empty: it names no picture.")
    counts = Counter(filter(None, columns.categories or ()))
    if len(counts) > 1:
        listed = ", ".join(f"{name} ({count})" for name, count in counts.most_common(8))
        raise ManifestError(
            f"{path} has annotations of several categories: {listed}. `ear prepare` chooses among them."
        )
    root = path.parent if root is None else root
    if not root.is_dir():
        raise ManifestError(f"{root} is not a folder; the paths in {path} are relative to it.")
    return _place(columns, path, root, on_bad_row)


def _place(columns: Columns, path: Path, root: Path, on_bad_row: OnBadRow) -> Manifest:
    """Columns whose paths lead to files where there are any, and whose labels are in pixels of the upright picture."""
    names = list(dict.fromkeys((*columns.paths, *columns.empty, *columns.unlabeled)))
    places = locate(names, path, root)
    fractions = are_fractions(columns, path)
    boxes, keypoints, good = columns.boxes.copy(), list(columns.keypoints or ()), []
    changes = [""] * len(columns.paths)
    for row, name in enumerate(columns.paths):
        try:
            boxes[row], points, changes[row] = fit_to_picture(columns, row, root / places[name], fractions)
        except MisfitError as error:
            on_bad_row(f"{path}: {name}: {error}")
            continue
        if keypoints:
            keypoints[row] = points
        good.append(row)
    placed = replace(
        columns,
        paths=[places[name] for name in columns.paths],
        boxes=boxes,
        keypoints=keypoints or None,
        unlabeled=tuple(places[name] for name in columns.unlabeled),
        empty=tuple(places[name] for name in columns.empty),
        fractions=False,
        from_bottom=False,
    )
    manifest = replace(as_manifest(placed, root), changes=changes if any(changes) else None)
    return manifest if len(good) == len(manifest) else manifest.subset(good)


def locate(names: Sequence[str], file: Path, root: Path) -> dict[str, str]:
    """The paths of pictures relative to a root, by their names in an annotation file; the name itself if there is none.

    Two names never get one picture unless both lead there literally.
    """
    missing = [name for name in names if not _is_file(root / name)]
    places = {name: name for name in names}
    if missing:
        folder = root.parent if root.name.lower() in LABEL_FOLDERS else root
        pictures = [path for path in walk_files(folder.resolve(), _ignore, _ignore) if path.lower().endswith(SUFFIXES)]
        resolver, found = PictureResolver(pictures), {}
        for name in missing:
            with suppress(ValueError):
                found[name] = resolver.find(name) if "." in name else resolver.find_by_stem(file.resolve(), name)
        taken = Counter([*found.values(), *(str((root / name).resolve()) for name in names if name not in missing)])
        start = root.resolve()
        places |= {name: os.path.relpath(path, start) for name, path in found.items() if taken[path] == 1}
    return places


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _ignore(_: object) -> None:
    pass


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
