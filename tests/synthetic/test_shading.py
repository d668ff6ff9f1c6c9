"""Tests of `earcli/synthetic/shading.py`."""

from dataclasses import replace

import numpy as np
import pytest

from earcli.synthetic.anatomy import HEIGHT, WIDTH, Array
from earcli.synthetic.dataset import draw_factors
from earcli.synthetic.shading import render

FACTORS = replace(
    draw_factors(np.random.default_rng(0)), size=1.0, light_strength=0.5, warmth=0.0, skin=0.0, hair=0.0, hair_cover=0.0
)
SHAPE = (HEIGHT, WIDTH)
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
FLAT = np.zeros(SHAPE, np.float32)
MIDDLE = (slice(60, 150), slice(50, 110))


def shade(height: Array = FLAT, x: float = 0.0, y: float = 1.0, inside: float = 1.0, **factors: float) -> Array:
    """Shades a surface, all of it at one place of the ear; by default at the lobe, which no hair covers."""
    place = (np.full(SHAPE, value, np.float32) for value in (x, y))
    ear = np.full(SHAPE, inside, np.float32)
    return render(*place, height, ear, replace(FACTORS, **factors), np.random.default_rng(1))


def test_the_image_is_proportional_to_the_strength_of_the_light_but_for_the_noise_of_the_camera() -> None:
    dark, once, twice = (shade(light_strength=strength) for strength in (0.0, 0.4, 0.8))
    np.testing.assert_allclose(twice - dark, 2 * (once - dark), atol=1e-6)
    assert once.mean() > 0.2
    assert abs(dark.mean()) < 0.001
    assert 0 < dark.std() < 0.02


@pytest.mark.parametrize(
    ("direction", "azimuth"), [((1, 0), 0), ((0, -1), 90), ((-1, 0), 180), ((0, 1), 270), ((1, -1), 45)]
)
def test_a_slope_is_brightest_in_light_from_the_side_that_it_faces(direction: tuple[int, int], azimuth: int) -> None:
    slope = -0.5 * (direction[0] * COLUMNS + direction[1] * ROWS) / (HEIGHT / 2)  # descends in its direction
    light = {angle: shade(slope, light_azimuth=angle)[MIDDLE].mean() for angle in range(0, 360, 45)}
    assert max(light, key=light.__getitem__) == azimuth
    assert min(light, key=light.__getitem__) == (azimuth + 180) % 360


def test_the_level_bottom_of_a_hollow_sees_less_of_the_sky() -> None:
    radius = np.hypot(ROWS - HEIGHT / 2, COLUMNS - WIDTH / 2)
    hollow = -0.3 * np.exp(-((radius / 12) ** 2)).astype(np.float32)
    image = shade(hollow, light_elevation=90.0).mean(-1)
    assert image[radius == 0].item() < 0.8 * image[radius > 60].mean()


def test_skin_and_warmth_change_the_color_as_they_say() -> None:
    light, dark = (shade(skin=value) for value in (0.0, 1.0))
    assert (dark.mean((0, 1)) < 0.7 * light.mean((0, 1))).all()
    warm = shade(warmth=1.0).mean((0, 1)) / light.mean((0, 1))
    np.testing.assert_allclose(warm, [1.07, 1.007, 0.93], atol=0.002)


def test_hair_is_behind_the_ear_and_if_long_over_its_top() -> None:
    def darkening(**place: float) -> float:
        """By how much dark hair instead of light hair changes the image."""
        return float((shade(**place, hair=0.0) - shade(**place, hair=1.0)).mean())  # type: ignore[arg-type]

    behind = darkening(x=1.0, y=0.0, inside=0.0)
    assert behind > 0.1
    assert darkening(x=1.0, y=0.0, inside=1.0) < 0.01 * behind
    assert darkening(x=0.0, y=-0.9, hair_cover=1.0) > 4 * darkening(x=0.0, y=-0.9, hair_cover=0.0)
