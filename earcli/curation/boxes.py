"""What a box says about itself, beside the size of its picture."""

import numpy as np
from numpy.typing import NDArray

SLACK = 1.0
SLOPPY = 1.05  # a box that reaches over the border by less is a sloppy one, not one of another convention
LONGEST = 4.0  # ears are about 1:1.4


def looks_like_corners(box: NDArray[np.float64], size: tuple[int, int]) -> bool:
    """Whether four numbers make sense as xmin, ymin, xmax, ymax but not as x, y, width, height of this picture.

    Args:
        box: four finite numbers.
        size: width and height in pixels.
    """
    a, b, c, d = box.tolist()
    fits = a + c <= size[0] * SLOPPY + SLACK and b + d <= size[1] * SLOPPY + SLACK
    corners = 0 <= a < c <= size[0] + SLACK and 0 <= b < d <= size[1] + SLACK
    return not fits and corners and bool(1 / LONGEST < (c - a) / (d - b) < LONGEST)


def looks_like_sizes(box: NDArray[np.float64], size: tuple[int, int]) -> bool:
    """Whether a box looks as if x, y, width, height had been read as corners: taken back, they fit the picture."""
    x, y, width, height = box.tolist()
    right, bottom = x + width, y + height  # what the file had as xmax and ymax
    backwards = width < 0 or height < 0
    fits = right > 0 and bottom > 0 and x >= 0 and y >= 0
    return backwards and fits and bool(x + right <= size[0] + SLACK and y + bottom <= size[1] + SLACK)


def overhang(box: NDArray[np.float64], size: tuple[int, int]) -> float:
    """The share of a box, 0 to 1, that lies outside the picture."""
    low = np.maximum(box[:2], 0)
    high = np.minimum(box[:2] + box[2:], size)
    inside = float(np.prod(np.maximum(high - low, 0)))
    area = float(box[2] * box[3])
    return 1 - inside / area if area > 0 else 0.0
