"""Contact sheets: images with a caption under each."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIDE = 112
GAP = 6
LINE = 16
FONT_SIZE = 11


class Tile(NamedTuple):
    """An image (SIDE, SIDE, 3) and its caption."""

    image: NDArray[np.uint8]
    caption: str


def contact_sheet(
    rows: Sequence[Sequence[Tile]], *, first_apart: bool = False, titles: Mapping[int, str] | None = None
) -> NDArray[np.uint8]:
    """Rows of tiles on white, (H, W, 3); captions that do not fit are truncated.

    Args:
        rows: The tiles of each row.
        first_apart: Whether to draw a frame around the first tile of each row.
        titles: Lines above rows, by row number.
    """
    titles = titles or {}
    width = GAP + max(len(row) for row in rows) * (SIDE + GAP)
    height = GAP + len(rows) * (SIDE + LINE + GAP) + len(titles) * (LINE + GAP)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    y = GAP - (SIDE + LINE + GAP)
    for number, row in enumerate(rows):
        y += SIDE + LINE + GAP
        if number in titles:
            draw.text((GAP, y), titles[number], fill="black", font=ImageFont.load_default(FONT_SIZE + 2))
            y += LINE + GAP
        for column, tile in enumerate(row):
            x = GAP + column * (SIDE + GAP)
            sheet.paste(Image.fromarray(tile.image), (x, y))
            if first_apart and column == 0:
                draw.rectangle((x - 3, y - 3, x + SIDE + 2, y + SIDE + 2), outline="#d02020", width=3)
            draw.text((x, y + SIDE + 2), _truncate(tile.caption, font), fill="black", font=font)
    return np.asarray(sheet)


def _truncate(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(text) <= SIDE:
        return text
    while text and font.getlength(text + "…") > SIDE:
        text = text[:-1]
    return text + "…"
