"""Boxes of x, y, width and height in pixels: overlap, overhang, and signs of another convention."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1.0
"""Pixels by which a box may exceed the border and still fit."""
MAX_EXCESS = 1.05
"""Factor of the image size up to which a box that exceeds the border is inaccurate, not in another convention."""
MAX_ASPECT = 4.0  # ears are about 1:1.4


def format_box(box: Iterable[float]) -> str:
    """A box as text.

    >>> format_box([10.0, 9.5, 60.0, 80.0])
    '[10, 9.5, 60, 80]'
    """
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"


def looks_like_corners(box: NDArray[np.float64], size: tuple[int, int]) -> bool:
    """Whether four finite numbers fit an image as xmin, ymin, xmax, ymax but not as x, y, width, height.

    `size` is the width and height of the image in pixels.

    >>> looks_like_corners(np.array([40.0, 30.0, 90.0, 70.0]), (100, 80))
    True
    """
    a, b, c, d = box.tolist()
    fits = a + c <= size[0] * MAX_EXCESS + TOLERANCE and b + d <= size[1] * MAX_EXCESS + TOLERANCE
    fits_as_corners = 0 <= a < c <= size[0] + TOLERANCE and 0 <= b < d <= size[1] + TOLERANCE
    return not fits and fits_as_corners and bool(1 / MAX_ASPECT < (c - a) / (d - b) < MAX_ASPECT)


def looks_like_sizes(box: NDArray[np.float64], size: tuple[int, int]) -> bool:
    """Whether a box looks like x, y, width, height that were read as corners: undoing that makes it fit the image.

    >>> looks_like_sizes(np.array([40.0, 30.0, -10.0, -5.0]), (100, 80))  # the file had 40, 30, 30, 25
    True
    """
    x, y, width, height = box.tolist()
    xmax, ymax = x + width, y + height  # as read from the file
    negative = width < 0 or height < 0
    positive_in_file = xmax > 0 and ymax > 0 and x >= 0 and y >= 0
    return negative and positive_in_file and bool(x + xmax <= size[0] + TOLERANCE and y + ymax <= size[1] + TOLERANCE)


def overhang(box: NDArray[np.float64], size: tuple[int, int]) -> float:
    """The fraction of a box's area, 0 to 1, outside an image of a width and height.

    >>> overhang(np.array([90.0, 0.0, 20.0, 80.0]), (100, 80))
    0.5
    """
    low = np.maximum(box[:2], 0)
    high = np.minimum(box[:2] + box[2:], size)
    inside = float(np.prod(np.maximum(high - low, 0)))
    area = float(box[2] * box[3])
    return 1 - inside / area if area > 0 else 0.0


def box_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes; 0 if one is not finite or has no area.

    >>> box_iou(np.array([0.0, 0.0, 10.0, 10.0]), np.array([0.0, 0.0, 10.0, 5.0]))
    0.5
    """
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return 0.0
    extent = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
    intersection = float(np.prod(np.maximum(extent, 0)))
    union = float(a[2] * a[3] + b[2] * b[3]) - intersection
    return intersection / union if union > 0 else 0.0


def clip_box(box: tuple[float, ...], size: tuple[int, int]) -> tuple[float, ...]:
    """The part of a box inside an image of a width and height; a box that is inside, or NaN, is returned unchanged.

    >>> clip_box((-5.0, 100.0, 50.0, 30.0), (90, 120))
    (0.0, 100.0, 45.0, 20.0)
    """
    x, y, width, height = box
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, float(size[0])), min(y + height, float(size[1]))
    inside = (left, top) == (x, y) and (right, bottom) == (x + width, y + height)
    return box if inside or np.isnan(x) else (left, top, right - left, bottom - top)
