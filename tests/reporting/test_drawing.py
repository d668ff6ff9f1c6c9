"""Tests of `earcli/reporting/drawing.py`."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from earcli.reporting.drawing import draw_ear, draw_ears

YELLOW, RED = (255, 210, 31), (255, 59, 48)
NO_POINTS = np.empty((0, 2))


def where(pixels: NDArray[np.uint8], color: tuple[int, int, int]) -> NDArray[np.int64]:
    """x and y of the pixels of a color."""
    return np.argwhere((pixels == color).all(-1))[:, ::-1]


def test_the_box_is_an_outline_and_a_point_a_dot_on_a_copy() -> None:
    image = Image.new("RGB", (100, 100))
    drawn = np.asarray(draw_ear(image, np.array([10.0, 20, 30, 40]), np.array([[70.0, 80]])))
    outline = where(drawn, YELLOW)
    assert (outline.min(0).tolist(), outline.max(0).tolist()) == ([10, 20], [40, 60])
    assert not drawn[21:60, 11:40].any()
    assert where(drawn, RED).mean(0).tolist() == [70, 80]
    assert image.getextrema() == ((0, 0), (0, 0), (0, 0))


@pytest.mark.parametrize("box", [[10, 20, 0, 40], [10, 20, 30, -1], [np.nan] * 4])
def test_an_empty_box_is_not_drawn(box: list[float]) -> None:
    assert not np.asarray(draw_ear(Image.new("RGB", (50, 50)), np.array(box), NO_POINTS)).any()


def test_lines_and_dots_grow_with_the_image() -> None:
    box, point = np.array([200.0, 200, 400, 400]), np.array([[700.0, 700]])
    drawn = np.asarray(draw_ear(Image.new("RGB", (1500, 900)), box, point))
    assert (drawn[400, 190:220] == YELLOW).all(-1).sum() == 6
    assert 12 <= np.ptp(where(drawn, RED)[:, 0]) <= 16
    assert (drawn[700, 685:715] == 255).all(-1).any(), "a large dot has a white edge"


def test_coordinates_of_several_are_fractions_of_the_side_and_unseen_points_are_left_out() -> None:
    pixels = np.zeros((2, 64, 64, 3), np.uint8)
    boxes = np.array([[0.25, 0.125, 0.5, 0.5], [0, 0, 0, 0]])
    points = np.array([[[0.5, 0.25], [0.1, 0.9]], [[0.1, 0.9], [0.75, 0.5]]]) + 0.5 / 64
    first, second = draw_ears(pixels, boxes, points, np.array([[True, False], [False, True]]))
    outline = where(first, YELLOW)
    assert (outline.min(0).tolist(), outline.max(0).tolist()) == ([16, 8], [48, 40])
    assert where(first, RED).mean(0).tolist() == [32, 16]
    assert where(second, RED).mean(0).tolist() == [48, 32]
    assert len(where(second, YELLOW)) == 0
    middle = draw_ears(pixels[:1], boxes[1:], np.array([[[0.5, 0.25]]]))[0]
    expected = draw_ear(Image.fromarray(pixels[0]), boxes[1], np.array([[31.5, 15.5]]))
    np.testing.assert_array_equal(middle, np.asarray(expected))
    everything = draw_ears(pixels, boxes, points)
    assert len(where(everything[1], RED)) == 2 * len(where(second, RED))
