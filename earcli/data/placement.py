"""Fitting labels to the picture that they belong to: its size, its orientation, its units."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.images import BadPictureError, picture_size, read_header
from earcli.errors import ManifestError

Array = NDArray[np.float64]
SLACK = 2.0
"""Pixels by which a picture's side may differ from the stated one times a constant factor, from rounding."""
COUNTED_FROM_ZERO = "shifted by a pixel because PTS counts from 1, although coordinates below 1 suggest a count from 0"


class MisfitError(ValueError):
    """A label does not fit its picture; the message is the reason."""


def are_fractions(columns: Columns, path: Path) -> bool:
    """Whether the coordinates of a file are fractions of the picture, as the format says or all values show.

    Raises:
        ManifestError: Boxes look like fractions and points like pixels, or the other way around.
    """
    if columns.fractions:
        return True
    boxes = columns.boxes[np.isfinite(columns.boxes).all(1)]
    points = [item.labeled() for item in columns.keypoints or [] if item is not None]
    values = [part for part in (boxes.ravel(), np.concatenate(points).ravel() if points else np.empty(0)) if part.size]
    small = [bool((part >= 0).all() and (part <= 1).all() and part.any()) for part in values]
    if len(set(small)) > 1:
        raise ManifestError(
            f"{path} has {'boxes' if small[0] else 'points'} in fractions of the picture and "
            f"{'points' if small[0] else 'boxes'} in pixels. Export it with one unit."
        )
    return bool(small) and small[0]


def fit_to_picture(
    columns: Columns, row: int, picture: Path, fractions: bool
) -> tuple[Sequence[float], Keypoints | None, str]:
    """Box and key points of one sample in pixels of its upright picture.

    Args:
        columns: The file's content.
        row: The sample.
        picture: The file of its picture.
        fractions: Whether coordinates are fractions.

    Returns:
        The box, the key points, and what was done or is doubtful, such as "scaled by 0.5"; "" for nothing.

    Raises:
        MisfitError: The file states a size that the picture does not have.
    """
    box = columns.boxes[row]
    points = columns.keypoints[row] if columns.keypoints else None
    stated = columns.sizes[row] if columns.sizes else None
    if np.isnan(box[0]) and points is None:
        return box.tolist(), None, ""
    if columns.from_one and points is not None and (points.labeled() < 0).any():
        return box.tolist(), points, COUNTED_FROM_ZERO
    if not (fractions or columns.from_bottom or stated):
        return box.tolist(), points, ""
    try:
        size = picture_size(picture)
    except BadPictureError:
        return box.tolist(), points, ""  # which is left out as unreadable
    if fractions:
        box, points = _scale(box, points, size)
        return box.tolist(), points, "" if columns.fractions else "scaled from fractions"
    if columns.from_bottom and points is not None:
        points = _map(points, lambda xy: np.stack([xy[:, 0], size[1] - xy[:, 1]], 1))
    if stated in (None, size):
        return box.tolist(), points, ""
    assert stated is not None
    if stated == size[::-1]:
        return *_turn(box, points, stated, picture), "turned as EXIF says"
    factors = size[0] / stated[0], size[1] / stated[1]
    if abs(stated[1] * factors[0] - size[1]) > SLACK and abs(stated[0] * factors[1] - size[0]) > SLACK:
        raise MisfitError(
            f"the labels are of a picture of {stated[0]}×{stated[1]} pixels, but this one has {size[0]}×{size[1]}"
        )
    box, points = _scale(box, points, factors)
    return box.tolist(), points, f"scaled by {factors[0]:.4g}"


def _scale(box: Array, points: Keypoints | None, factors: tuple[float, float]) -> tuple[Array, Keypoints | None]:
    scaled = box * np.array([*factors, *factors])
    return scaled, None if points is None else _map(points, lambda xy: xy * np.array(factors))


def _map(points: Keypoints, change: Callable[[Array], Array]) -> Keypoints:
    return replace(points, points=np.concatenate([change(points.points[:, :2]), points.points[:, 2:]], 1))


def _turn(
    box: Array, points: Keypoints | None, stated: tuple[int, int], picture: Path
) -> tuple[Sequence[float], Keypoints | None]:
    """From the pixels as stored to those of the upright picture."""
    orientation = read_header(picture)[1]
    if orientation not in (5, 6, 7, 8):
        raise MisfitError(
            f"the labels are of a picture of {stated[0]}×{stated[1]} pixels, but this one has {stated[1]}×{stated[0]} "
            "and no EXIF orientation that explains it"
        )

    def turned(xy: Array, last: float) -> Array:
        x, y = xy[:, 0], xy[:, 1]
        right, bottom = stated[0] - last - x, stated[1] - last - y
        return np.stack({5: (y, x), 6: (bottom, x), 7: (bottom, right), 8: (y, right)}[orientation], 1)

    if not np.isnan(box[0]):
        corners = turned(np.array([box[:2], box[:2] + box[2:]]), 0)  # corners count from the edge of the picture
        box = np.concatenate([corners.min(0), corners.max(0) - corners.min(0)])
    # points count from the center of the first pixel
    return box.tolist(), None if points is None else _map(points, lambda xy: turned(xy, 1))
