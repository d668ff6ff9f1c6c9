"""Figures of results. Arrays in, PNG files out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from earcli.data.images import OWN_SOFTWARE
from earcli.files import atomic_write

GAP = 2
DPI = 130
IMAGE_INCHES = 0.8
MAX_BINS = 40
BAR_COLOR = "#7d8fa9"
LINE_STYLES = ("-", "--", ":", "-.")


def image_rows(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows of images, (N, H, W, 3) each, as one image (H', W', 3) with white gaps."""
    padded = [np.pad(row, ((0, 0), (GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate([np.concatenate(list(row), axis=1) for row in padded], axis=0)


def labeled_rows(rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], side: int) -> NDArray[np.uint8]:
    """Rows of square images, (side, side, 3) each, on white, (H, W, 3), with a title above each row.

    Args:
        rows: Title, in ASCII because of Pillow's built-in font, or empty, and the images of each row.
        side: Side of the images.
    """
    title_height = 16
    columns = max(len(images) for _, images in rows)
    width = max(columns * (side + GAP) + GAP, *(8 * len(title) for title, _ in rows))
    height = sum(side + GAP + (title_height if title else 0) for title, _ in rows) + GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    y = GAP
    for title, images in rows:
        if title:
            draw.text((GAP, y), title, fill="black")
            y += title_height
        for column, image in enumerate(images):
            sheet.paste(Image.fromarray(image), (GAP + column * (side + GAP), y))
        y += side + GAP
    return np.asarray(sheet)


def save_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes a PNG file atomically."""
    with atomic_write(path) as temporary:
        mark = PngInfo()
        mark.add_text("Software", OWN_SOFTWARE)  # so that it is never taken for data
        Image.fromarray(image).save(temporary, format="PNG", pnginfo=mark)


def save_figure(path: Path, figure: Figure) -> None:
    """Writes a PNG file atomically."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": OWN_SOFTWARE})


def save_labeled_rows(path: Path, title: str, rows: Mapping[str, Sequence[NDArray[np.uint8]]]) -> None:
    """Writes rows of images under labels as a PNG file.

    Args:
        path: The file.
        title: Title of the figure.
        rows: By label, the rows of images (N, S, S, 3) below it; all images have one size.
    """
    sheets = {label: image_rows(images) for label, images in rows.items()}
    heights = [sheet.shape[0] / sheet.shape[1] for sheet in sheets.values()]
    width = max(IMAGE_INCHES * max(len(row[0]) for row in rows.values()), 4.0)
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
    """Writes a histogram as a PNG file; `marks` are labeled vertical lines."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.hist(values, bins=int(np.clip(2 * len(values) ** 0.5, 5, MAX_BINS)), color=BAR_COLOR)
    for (label, position), style in zip(marks.items(), LINE_STYLES, strict=False):
        axis.axvline(position, color="black", linestyle=style, linewidth=1, label=f"{label} {position:.2f}")
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if marks:
        axis.legend(frameon=False, fontsize=8)
    save_figure(path, figure)


def save_variance(path: Path, explained: NDArray[np.floating], pixel_explained: NDArray[np.floating]) -> None:
    """Writes a scree plot and the cumulative explained variance of latent and pixel components as a PNG file."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    scree, cumulative = figure.subplots(1, 2)
    for values, label, style in ((explained, "latent space", "o-"), (pixel_explained, "raw pixels", "s:")):
        numbers = np.arange(1, len(values) + 1)
        scree.plot(numbers, values * 100, style, color="black", markersize=3.5, linewidth=1, label=label)
        cumulative.plot(numbers, values.cumsum() * 100, style, color="black", markersize=3.5, linewidth=1, label=label)
        for axis in (scree, cumulative):
            axis.xaxis.get_major_locator().set_params(integer=True)
    scree.set(title="Individual", xlabel="component", ylabel="variance explained, %")
    cumulative.set(title="Cumulative", xlabel="components", ylim=(0, 100))
    cumulative.legend(frameon=False, fontsize=8)
    save_figure(path, figure)
