"""Tests of `earcli/reporting/sheets.py`."""

import numpy as np

from earcli.reporting.sheets import SIDE, Tile, contact_sheet


def test_a_sheet_shows_its_tiles_where_they_belong() -> None:
    red, blue = (np.full((SIDE, SIDE, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
    sheet = contact_sheet([[Tile(red, "a"), Tile(blue, "a very long name " * 9)], [Tile(blue, "")]])
    middle = SIDE // 2
    assert sheet[middle, middle].tolist() == [255, 0, 0]
    assert sheet[middle, middle + SIDE].tolist() == [0, 0, 255]
    assert sheet[-middle - 20, middle].tolist() == [0, 0, 255]
    assert sheet[-middle - 20, middle + SIDE].tolist() == [255, 255, 255]
