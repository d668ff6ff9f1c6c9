"""Pictures of results. Arrays in, PNG files out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from earcli.files import atomic_write

GAP = 2
DPI = 130
PICTURE_INCHES = 0.8
MOST_BINS = 40
BARS = "#7d8fa9"
LINES = ("-", "--", ":", "-.")


def image_rows(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows of pictures, (N, H, W, 3) each, as one white-ruled sheet (H', W', 3)."""
    padded = [np.pad(row, ((0, 0), (GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate([np.concatenate(list(row), axis=1) for row in padded], axis=0)


def labeled_rows(rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], side: int) -> NDArray[np.uint8]:
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
    with atomic_write(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def save_figure(path: Path, figure: Figure) -> None:
    """Writes a PNG, whole or not at all."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)


def save_labeled_rows(path: Path, title: str, rows: Mapping[str, Sequence[NDArray[np.uint8]]]) -> None:
    """Sheets of pictures one under the other, each with a label above.

    Args:
        rows: by label, what `image_rows` takes; the pictures of all sheets have one size.
    """
    sheets = {label: image_rows(pictures) for label, pictures in rows.items()}
    heights = [sheet.shape[0] / sheet.shape[1] for sheet in sheets.values()]
    width = max(PICTURE_INCHES * max(len(row[0]) for row in rows.values()), 4.0)
    figure = Figure(figsize=(width, width * sum(heights) + 0.3 * len(sheets) + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=11, wrap=True)
    axes = figure.subplots(len(sheets), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (label, sheet) in zip(axes, sheets.items(), strict=True):
        axis.imshow(sheet, interpolation="nearest")
        axis.set_title(label, loc="left", fontsize=9)
        axis.set_axis_off()
    save_figure(path, figure)


def save_histogram(
    path: Path, values: NDArray[np.floating], title: str, xlabel: str, ylabel: str, marks: Mapping[str, float]
) -> None:
    """A histogram; `marks` are labeled lines across it."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.hist(values, bins=int(np.clip(2 * len(values) ** 0.5, 5, MOST_BINS)), color=BARS)
    for (label, position), style in zip(marks.items(), LINES, strict=False):
        axis.axvline(position, color="black", linestyle=style, linewidth=1, label=f"{label} {position:.2f}")
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if marks:
        axis.legend(frameon=False, fontsize=8)
    save_figure(path, figure)


def save_variance(path: Path, explained: NDArray[np.floating], of_pixels: NDArray[np.floating]) -> None:
    """A scree plot beside the cumulative share, of latent components and of those of the pixels."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    scree, cumulative = figure.subplots(1, 2)
    for values, label, style in ((explained, "latent space", "o-"), (of_pixels, "raw pixels", "s:")):
        numbers = np.arange(1, len(values) + 1)
        scree.plot(numbers, values * 100, style, color="black", markersize=3.5, linewidth=1, label=label)
        cumulative.plot(numbers, values.cumsum() * 100, style, color="black", markersize=3.5, linewidth=1, label=label)
        for axis in (scree, cumulative):
            axis.xaxis.get_major_locator().set_params(integer=True)
    scree.set(title="Each component", xlabel="component", ylabel="variance explained, %")
    cumulative.set(title="Together", xlabel="components", ylim=(0, 100))
    cumulative.legend(frameon=False, fontsize=8)
    save_figure(path, figure)
