"""The ears of each picture, as the formats write them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from earcli.data.formats.columns import Columns
from earcli.errors import RunError
from earcli.untrusted.files import short_repr


@dataclass(frozen=True)
class Ear:
    """One ear to write.

    Attributes:
        box: x, y, width, height in pixels.
        points: Name, x, y in pixels and visibility of each key point.
        subject: The person; "" if unknown.
        score: Confidence in [0, 1]; None where it is no prediction.
    """

    box: list[float]
    points: list[tuple[str, float, float, int]]
    subject: str
    score: float | None


def ears_by_picture(
    columns: Columns, sizes: Sequence[tuple[int, int]], scores: Sequence[float] | None = None
) -> list[tuple[str, tuple[int, int], list[Ear]]]:
    """Name, width and height, and ears of each picture, in order of appearance; a NaN box becomes the whole picture."""
    pictures: dict[str, tuple[tuple[int, int], list[Ear]]] = {}
    for row, (name, size) in enumerate(zip(columns.paths, sizes, strict=True)):
        box = columns.boxes[row].tolist()
        keypoints = columns.keypoints[row] if columns.keypoints else None
        points = [] if keypoints is None else zip(keypoints.names, keypoints.points.tolist(), strict=True)
        ear = Ear(
            [0.0, 0.0, float(size[0]), float(size[1])] if np.isnan(box[0]) else box,
            [(point_name, x, y, int(visibility)) for point_name, (x, y, visibility) in points],
            columns.subjects[row] if columns.subjects else "",
            None if scores is None else float(scores[row]),
        )
        pictures.setdefault(name, (size, []))[1].append(ear)
    return [(name, size, ears) for name, (size, ears) in pictures.items()]


def files_of_pictures(folder: Path, names: Sequence[str], suffix: str) -> list[Path]:
    """A file for each picture, in the subfolder that the picture's name has, without "..".

    Raises:
        RunError: Two pictures would share one.
    """
    files: dict[Path, str] = {}
    for name in names:
        path = PurePosixPath(name.replace(os.sep, "/"))
        file = (
            folder.joinpath(*(part for part in path.parent.parts if part not in ("/", ".."))) / f"{path.stem}{suffix}"
        )
        if file in files:
            both = f"{short_repr(files[file])} and {short_repr(name)}"
            raise RunError(f"{both} would share {file}. Rename one of the pictures.")
        files[file] = name
    return list(files)
