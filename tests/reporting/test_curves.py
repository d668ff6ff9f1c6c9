"""Tests of `earcli/reporting/curves.py`."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from earcli.reporting import curves

PATH = Path("curve.png")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would have been written."""
    figures: list[Figure] = []
    monkeypatch.setattr(curves, "save_figure", lambda path, figure: figures.append(figure))
    return figures


def axis_of(figures: list[Figure]) -> Axes:
    (figure,) = figures
    (axis,) = figure.axes
    return axis


def test_a_match_curve_starts_at_rank_one_and_is_in_percent(figures: list[Figure]) -> None:
    curves.save_cmc(PATH, [0.25, 0.5, 1.0])
    axis = axis_of(figures)
    assert axis.lines[0].get_xydata().tolist() == [[1, 25], [2, 50], [3, 100]]
    assert axis.get_ylim() == (0, 100)


def test_a_comparison_has_a_line_per_start_and_an_interval_per_number_of_labels(figures: list[Figure]) -> None:
    def row(start: str, labels: int, nme: float) -> dict[str, object]:
        return {"start": start, "labels": labels, "nme": nme, "nme_low": nme - 0.01, "nme_high": nme + 0.03}

    curves.save_comparison(PATH, [row("teacher", 10, 0.08), row("none", 10, 0.2), row("teacher", 50, 0.04)])
    axis = axis_of(figures)
    teacher, none = axis.containers
    np.testing.assert_allclose(teacher[0].get_xydata(), [[10, 8], [50, 4]])
    np.testing.assert_allclose(teacher[2][0].get_segments(), [[[10, 7], [10, 11]], [[50, 3], [50, 7]]])
    np.testing.assert_allclose(none[0].get_xydata(), [[10, 20]])
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["teacher", "none"]
    assert axis.get_xticks().tolist() == [10, 50]


def test_errors_are_shown_as_the_fraction_of_ears_up_to_each(figures: list[Figure]) -> None:
    curves.save_errors(PATH, np.array([0.06, 0.02, 0.02, 0.5]), limit=0.1)
    axis = axis_of(figures)
    x, y = axis.lines[0].get_xydata().T
    fractions = [y[np.searchsorted(x, value, side="right") - 1] for value in (2, 5.9, 6.1, 50)]
    assert fractions == [0.5, 0.5, 0.75, 1]
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, 10), (0, 1))


def test_a_curve_is_written_as_png(tmp_path: Path) -> None:
    curves.save_cmc(tmp_path / PATH, [0.5, 1.0])
    with Image.open(tmp_path / PATH) as image:
        assert (image.format, image.size) == ("PNG", (650, 442))
