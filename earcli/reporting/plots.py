"""Pictures of results. Arrays in, PNG files out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from earcli.files import replacing

GAP = 2


def image_rows(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows of pictures, (N, H, W, 3) each, as one white-ruled sheet (H', W', 3)."""
    padded = [np.pad(row, ((0, 0), (GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate([np.concatenate(list(row), axis=1) for row in padded], axis=0)


def labelled_rows(rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], side: int) -> NDArray[np.uint8]:
    """Rows of square pictures, (side, side, 3) each, as one white sheet (H, W, 3); a title stands above its row.

    Titles are drawn as they are: keep them in ASCII, which is what Pillow's own font has.
    """
    title_height = 16
    columns = max(len(pictures) for _, pictures in rows)
    width = max(columns * (side + GAP) + GAP, *(8 * len(title) for title, _ in rows))
    height = sum(side + GAP + (title_height if title else 0) for title, _ in rows) + GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    y = GAP
    for title, pictures in rows:
        if title:
            draw.text((GAP, y), title, fill="black")
            y += title_height
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (GAP + column * (side + GAP), y))
        y += side + GAP
    return np.asarray(sheet)


def save_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes a PNG, whole or not at all."""
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
