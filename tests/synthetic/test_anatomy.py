"""Tests of `earcli/synthetic/anatomy.py`."""

from dataclasses import replace

import numpy as np
import pytest

from earcli.synthetic.anatomy import WIDTH
from earcli.synthetic.dataset import draw_ear, draw_factors


def test_left_and_right_ears_mirror_each_other() -> None:
    factors = draw_factors(np.random.default_rng(0))
    left = draw_ear(replace(factors, left=True), np.random.default_rng(1))
    right = draw_ear(replace(factors, left=False), np.random.default_rng(1))
    np.testing.assert_array_equal(left.image, right.image[:, ::-1])
    np.testing.assert_allclose(left.landmarks[:, 0], WIDTH - 1 - right.landmarks[:, 0])


@pytest.mark.parametrize(("factor", "low", "high"), [("concha", -1, 1), ("antihelix", -1, 1), ("skin", 0, 1)])
def test_a_factor_changes_the_picture_and_shape_factors_change_it_inside_the_box(
    factor: str, low: float, high: float
) -> None:
    factors = replace(draw_factors(np.random.default_rng(0)), hair_cover=0.0)
    a, b = (draw_ear(replace(factors, **{factor: v}), np.random.default_rng(1)) for v in (low, high))
    change = np.abs(a.image.astype(int) - b.image.astype(int)).mean(-1)
    x, y, width, height = (round(v) for v in a.box)
    inside = change[y : y + height, x : x + width].mean()
    outside = change.sum() - change[y : y + height, x : x + width].sum()
    assert inside > 2
    if factor != "skin":
        assert outside < 0.1 * change.sum()
