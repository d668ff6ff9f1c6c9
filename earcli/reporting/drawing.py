"""Boxes and points drawn on pictures."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

BOX, POINT, EDGE = "#ffd21f", "#ff3b30", "white"


def draw_ear(image: Image.Image, box: NDArray[np.floating], points: NDArray[np.floating]) -> Image.Image:
    """A copy of a picture with a box and points on it.

    Args:
        box: x, y, width, height in pixels.
        points: (K, 2) in pixels, the first pixel's center at 0.
    """
    result = image.copy()
    draw = ImageDraw.Draw(result)
    thick = max(1, round(min(image.size) / 150))
    x, y, width, height = (float(value) for value in box)
    if width > 0 and height > 0:
        draw.rectangle((x, y, x + width, y + height), outline=BOX, width=thick)
    radius = max(1.0, min(image.size) / 110)
    for px, py in points.tolist():
        draw.ellipse(
            (px - radius, py - radius, px + radius, py + radius), fill=POINT, outline=EDGE if radius > 2 else None
        )
    return result


def draw_ears(
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.floating],
    points: NDArray[np.floating],
    shown: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Pictures (N, S, S, 3) with boxes and points on them; coordinates are fractions of the side.

    Args:
        boxes: (N, 4) x, y, width, height.
        points: (N, K, 2).
        shown: (N, K), the points that are drawn; all for None.
    """
    side = pixels.shape[1]
    result = []
    for row, picture in enumerate(pixels):
        chosen = points[row] if shown is None else points[row][shown[row]]
        drawn = draw_ear(Image.fromarray(picture), boxes[row] * side, chosen * side - 0.5)
        result.append(np.asarray(drawn))
    return np.stack(result)
