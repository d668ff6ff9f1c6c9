"""Tests of `earcli/reporting/plots.py`."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from earcli.data.images import BadPictureError, read_picture
from earcli.reporting import plots
from earcli.reporting.plots import image_rows, labeled_rows, save_image

PATH = Path("figure.png")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would have been written."""
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "save_figure", lambda path, figure: figures.append(figure))
    return figures


def test_images_are_laid_out_in_rows_with_white_gaps(tmp_path: Path) -> None:
    numbers = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1)
    sheet = image_rows(list(np.broadcast_to(numbers, (2, 3, 8, 10, 3))))
    assert sheet.shape == (2 * 12, 3 * 14, 3)
    for row in range(2):
        for column in range(3):
            tile = sheet[12 * row :, 14 * column :][:12, :14].copy()
            assert (tile[2:10, 2:12] == 3 * row + column).all()
            tile[2:10, 2:12] = 255
            assert (tile == 255).all()
    save_image(tmp_path / PATH, sheet)
    with Image.open(tmp_path / PATH) as image:
        np.testing.assert_array_equal(np.asarray(image), sheet)
    with pytest.raises(BadPictureError, match="a sheet or plot that ear drew"):
        read_picture(tmp_path / PATH)


def test_a_title_is_above_its_row_and_an_empty_one_takes_no_room() -> None:
    red, blue = (np.full((20, 20, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
    sheet = labeled_rows([("title", [red, blue]), ("", [blue])], 20)
    assert sheet.shape == (2 + 16 + 20 + 2 + 20 + 2, 2 + 20 + 2 + 20 + 2, 3)
    assert (sheet[18:38, 2:22] == red).all()
    assert (sheet[18:38, 24:44] == blue).all()
    assert (sheet[40:60, 2:22] == blue).all()
    assert (sheet[40:60, 22:] == 255).all()
    assert (sheet[2:18, 2:] < 128).all(-1).any()
    wide = labeled_rows([("a title that is wider than its image", [red])], 20)
    assert wide.shape[1] == 8 * 36
    assert (wide[:, -8:] == 255).all()


def test_labeled_rows_of_a_figure_are_images_below_their_labels(figures: list[Figure]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    plots.save_labeled_rows(PATH, "Ears", {"above": [images[0], images[1]], "below": [images[1]]})
    (figure,) = figures
    assert figure.get_suptitle() == "Ears"
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["above", "below"]
    shown = [axis.images[0].get_array() for axis in figure.axes]
    np.testing.assert_array_equal(shown[0], image_rows([images[0], images[1]]))
    np.testing.assert_array_equal(shown[1], image_rows([images[1]]))


def test_a_histogram_counts_every_value_and_has_a_line_for_each_mark(figures: list[Figure]) -> None:
    values = np.random.default_rng(0).normal(20, 2, 100)
    plots.save_histogram(PATH, values, "Reconstruction", "PSNR, dB", "ears", {"mean": 20.125, "worst": 14.0})
    axis = figures[0].axes[0]
    counts, _ = np.histogram(values, bins=20)
    assert [bar.get_height() for bar in axis.patches] == counts.tolist()
    assert [set(line.get_xdata()) for line in axis.lines] == [{20.125}, {14.0}]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["mean 20.12", "worst 14.00"]
    assert (axis.get_title(), axis.get_xlabel(), axis.get_ylabel()) == ("Reconstruction", "PSNR, dB", "ears")


def test_variance_is_shown_in_percent_by_component_and_cumulated(figures: list[Figure], tmp_path: Path) -> None:
    plots.save_variance(PATH, np.array([0.5, 0.25]), np.array([0.4, 0.3, 0.2]))
    scree, cumulative = figures[0].axes
    np.testing.assert_allclose(scree.lines[0].get_xydata(), [[1, 50], [2, 25]])
    np.testing.assert_allclose(scree.lines[1].get_xydata(), [[1, 40], [2, 30], [3, 20]])
    np.testing.assert_allclose(cumulative.lines[0].get_xydata(), [[1, 50], [2, 75]])
    np.testing.assert_allclose(cumulative.lines[1].get_xydata(), [[1, 40], [2, 70], [3, 90]])
    assert [text.get_text() for text in cumulative.get_legend().get_texts()] == ["latent space", "raw pixels"]
