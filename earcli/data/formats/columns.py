"""The columns that every annotation file is read into, one row per sample."""

import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from earcli.errors import ManifestError
from earcli.untrusted.files import check_regular_file, short_repr

PADDING = 0.1
MAX_ROWS = 5_000_000
"""Samples in one file."""

SIDE_IN_NAME = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)
SIDES = {"left": "left", "l": "left", "right": "right", "r": "right", "": ""}

OnBadRow = Callable[[str], None]
"""Called with what is wrong with a row, which is then left out; may raise instead."""


@lru_cache(maxsize=64)
def default_point_names(count: int) -> tuple[str, ...]:
    """The names of key points that a file does not name: "1", "2", ..."""
    return tuple(str(number) for number in range(1, count + 1))


@dataclass(frozen=True)
class Keypoints:
    """The key points of one ear.

    Attributes:
        names: K names; ears of one layout share them.
        points: (K, 3) of x, y in pixels of the upright picture, the first pixel's center at 0, and COCO's visibility:
            0 not labeled, 1 hidden, 2 visible.
    """

    names: tuple[str, ...]
    points: NDArray[np.float64]

    def labeled(self) -> NDArray[np.float64]:
        """(L, 2) x and y of the labeled points."""
        return self.points[self.points[:, 2] > 0, :2]

    def box(self) -> NDArray[np.float64]:
        """x, y, width, height around the labeled points, padded by 10% on every side; NaN without any."""
        points = self.labeled()
        if not len(points):
            return np.full(4, np.nan)
        low, high = points.min(0), points.max(0)
        margin = PADDING * (high - low)
        return np.concatenate([low - margin, high - low + 2 * margin])


@dataclass(frozen=True)
class Columns:
    """One sample per row. A column that a file lacks is None; so is `keypoints[i]` where an ear has none.

    Attributes:
        paths: as written in the file.
        boxes: (N, 4) of x, y, width, height in pixels; a row of NaN means the whole picture.
        subjects: a name per sample, "" where none is known.
        checksums: SHA-256 of the picture files in hexadecimal digits, "" where unknown.
        sources: where each sample came from.
        sides: `left`, `right`, or "" where the side of the ear is not known.
        categories: what each sample is called, "" where it has no name.
        sizes: width and height of each sample's picture in pixels, as the file states them.
        image_ids: what the file calls each sample's picture, if that is a number.
        unlabeled: pictures that the file names and that have no sample.
        empty: pictures that, by the file, someone looked at and that show no ear.
        fractions: whether coordinates are fractions of the picture's width and height.
        from_bottom: whether y counts from the lower edge of the picture.
        from_one: whether the file counts pixels from 1; 1 was subtracted.
    """

    paths: list[str]
    boxes: NDArray[np.float64]
    subjects: list[str] | None = None
    _: KW_ONLY
    keypoints: list[Keypoints | None] | None = None
    checksums: list[str] | None = None
    sources: list[str] | None = None
    sides: list[str] | None = None
    categories: list[str] | None = None
    sizes: list[tuple[int, int] | None] | None = None
    image_ids: list[int] | None = None
    unlabeled: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    fractions: bool = False
    from_bottom: bool = False
    from_one: bool = False

    def side(self, row: int) -> str:
        """The side of an ear from its column or the name of its category, such as `left_ear`; "" if unknown."""
        named = self.sides[row] if self.sides else ""
        match = SIDE_IN_NAME.search(self.categories[row]) if self.categories else None
        return named or (match[1].lower() if match else "")

    def side_numbers(self) -> NDArray[np.int8]:
        """(N,) 1 for left ears, -1 for right ones, 0 where the side is not known."""
        numbers = {"left": 1, "right": -1, "": 0}
        return np.array([numbers[self.side(row)] for row in range(len(self.paths))], np.int8)

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> Self:
        """The samples at `indices`, in that order."""
        chosen: dict[str, Any] = {"boxes": self.boxes[list(indices)]}
        for item in fields(self):
            column = getattr(self, item.name)
            if isinstance(column, list):
                chosen[item.name] = [column[i] for i in indices]
        return replace(self, **chosen)


def parse_side(value: object) -> str:
    """`left`, `right` or "" from a cell; raises `ValueError` for anything else.

    >>> parse_side("L"), parse_side(None)
    ('left', '')
    """
    side = SIDES.get(str(value or "").strip().lower())
    if side is None:
        raise ValueError(f"side is {short_repr(value)}, expected left, right or nothing")
    return side


def check_size(path: Path, limit: int) -> None:
    """Raises `ManifestError` when a file is missing, is not a regular file, or is larger than `limit` bytes."""
    try:
        check_regular_file(path, limit)
    except FileNotFoundError as error:
        raise ManifestError(
            f"{path} does not exist. Give a .npy, .csv or COCO .json manifest; `ear synth FOLDER` makes one to try."
        ) from error
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ManifestError(f"{short_repr(str(path))} is not a valid file name ({error}).") from error


def nan_to_inf(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replaces NaN, which means "no box" here, by infinity, which is refused later."""
    return np.where(np.isnan(values), np.inf, values)
