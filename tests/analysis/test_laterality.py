"""Tests of `earcli/analysis/laterality.py`."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from earcli.analysis.laterality import estimate_sides, fit_laterality, mirror_right_ears
from earcli.data.cache import Crops
from earcli.data.manifest import Manifest
from earcli.synthetic.dataset import draw_ear, draw_factors

SIDE = 64


@pytest.fixture(scope="module")
def drawn() -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """150 drawn ears, and 1 for left ones, -1 for right ones."""
    pixels, sides = [], []
    for index in range(150):
        rng = np.random.default_rng((5, index))
        factors = draw_factors(rng)
        ear = draw_ear(factors, rng)
        left, top, width, height = ear.box
        crop = Image.fromarray(ear.image).crop((round(left), round(top), round(left + width), round(top + height)))
        pixels.append(np.asarray(crop.resize((SIDE, SIDE))))
        sides.append(1 if factors.left else -1)
    return np.stack(pixels), np.array(sides, np.int8)


def unknown(pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
    return np.zeros(len(pixels), np.int8)


def test_sides_are_told_without_labels(drawn: tuple[NDArray[np.uint8], NDArray[np.int8]]) -> None:
    pixels, sides = drawn
    estimator = fit_laterality(pixels[:100], unknown(pixels[:100]), seed=0)
    right = estimate_sides(estimator, pixels[100:]) > 0
    assert (right == (sides[100:] < 0)).mean() >= 0.96
    left_only = pixels[sides > 0]
    assert (estimate_sides(fit_laterality(left_only, unknown(left_only), 0), left_only) < 0).mean() >= 0.9


def test_known_sides_decide(drawn: tuple[NDArray[np.uint8], NDArray[np.int8]]) -> None:
    pixels, sides = drawn
    swapped = fit_laterality(pixels, -sides, seed=0)  # as if all labels meant the other side
    assert ((estimate_sides(swapped, pixels) > 0) == (sides > 0)).mean() >= 0.96
    crops = Crops(pixels, Manifest([f"{row}.png" for row in range(150)], np.full((150, 4), np.nan)), [])
    known = np.where(np.arange(150) < 10, -sides, 0).astype(np.int8)
    left = mirror_right_ears(fit_laterality(pixels, sides, seed=0), crops, known)
    assert (left.right[:10] == (sides[:10] > 0)).all()
    assert (left.right[10:] == (sides[10:] < 0)).mean() >= 0.96
    for row in range(150):
        expected = pixels[row][:, ::-1] if left.right[row] else pixels[row]
        assert np.array_equal(left.crops.pixels[row], expected)


def test_all_sides_known_leaves_no_doubt(drawn: tuple[NDArray[np.uint8], NDArray[np.int8]]) -> None:
    pixels, sides = drawn
    crops = Crops(pixels, Manifest([f"{row}.png" for row in range(150)], np.full((150, 4), np.nan)), [])
    estimator = fit_laterality(pixels[:5], unknown(pixels[:5]), seed=0)
    assert mirror_right_ears(estimator, crops, sides).doubtful == 0


@pytest.mark.parametrize("pixels", [np.zeros((4, 64, 64, 3), np.uint8), np.full((1, 64, 64, 3), 99, np.uint8)])
def test_pictures_without_contrast_mirror_nothing(pixels: NDArray[np.uint8]) -> None:
    estimator = fit_laterality(pixels, unknown(pixels), seed=0)
    assert (estimate_sides(estimator, pixels) <= 1e-6).all()


def test_the_result_depends_on_the_seed_alone(drawn: tuple[NDArray[np.uint8], NDArray[np.int8]]) -> None:
    pixels, _ = drawn
    first, second = (fit_laterality(pixels, unknown(pixels), seed=3) for _ in range(2))
    assert np.array_equal(first.direction, second.direction)
