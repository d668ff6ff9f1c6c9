"""Draw boxes and points on images."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

BOX_COLOR, POINT_COLOR, EDGE_COLOR = "#ffd21f", "#ff3b30", "white"


def draw_ear(image: Image.Image, box: NDArray[np.floating], points: NDArray[np.floating]) -> Image.Image:
    """A copy of an image with a box and points on it.

    Args:
        image: RGB.
        box: (4,) x, y, width, height in pixels; not drawn if empty.
        points: (K, 2) in pixels, with the first pixel's center at 0.
    """
    result = image.copy()
    draw = ImageDraw.Draw(result)
    line_width = max(1, round(min(image.size) / 150))
    x, y, width, height = (float(value) for value in box)
    if width > 0 and height > 0:
        draw.rectangle((x, y, x + width, y + height), outline=BOX_COLOR, width=line_width)
    radius = max(1.0, min(image.size) / 110)
    for px, py in points.tolist():
        bounds = (px - radius, py - radius, px + radius, py + radius)
        draw.ellipse(bounds, fill=POINT_COLOR, outline=EDGE_COLOR if radius > 2 else None)
    return result


def draw_ears(
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.floating],
    points: NDArray[np.floating],
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Square images (N, S, S, 3) with boxes and points on them; coordinates are fractions of the side.

    Args:
        pixels: (N, S, S, 3).
        boxes: (N, 4) x, y, width, height.
        points: (N, K, 2).
        mask: (N, K), the points to draw; None draws all.
    """
    side = pixels.shape[1]
    result = []
    for row, image in enumerate(pixels):
        selected = points[row] if mask is None else points[row][mask[row]]
        result.append(np.asarray(draw_ear(Image.fromarray(image), boxes[row] * side, selected * side - 0.5)))
    return np.stack(result)
