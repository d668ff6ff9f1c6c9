"""Inputs of detectors: cached windows around the ears of labeled pictures, and augmented views within them."""

from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from earcli.data.augmentation import AugmentationStrength, affine_grid, jitter_light, sample_pose
from earcli.data.batches import PixelDataset, as_images
from earcli.data.cache import Progress, load_crops
from earcli.data.images import pixel_box
from earcli.data.labels import MAX_SKIPPED, Labels
from earcli.errors import DataError
from earcli.losses.detection import Target

WINDOW_MARGIN = 0.75
"""Margin of a window around the box on each side, as a fraction of the box's side; views move and zoom within it."""
OVERSAMPLING = 2
"""Resolution of a window relative to that of its views."""

Array = NDArray[np.float64]


class ViewBatch(TypedDict):
    """B windows and their annotations. Coordinates are fractions of the window's width and height.

    Attributes:
        pixels: (B, 3, C, C) uint8, channels last in memory.
        window: (B, 4) x, y, width, height of the window in pixels of the picture.
        view: (B, 4) x, y, width, height of the view without augmentation.
        boxes: (B, 4) x, y, width, height; 0 where there is no ear.
        points: (B, K, 2) x and y.
        seen: (B, K) visibility as in COCO: 0 not labeled, 1 occluded, 2 visible.
        ear: (B,) bool.
    """

    pixels: Tensor
    window: Tensor
    view: Tensor
    boxes: Tensor
    points: Tensor
    seen: Tensor
    ear: Tensor


def expand_boxes(boxes: Array, margin: float | None, sizes: NDArray[np.int64]) -> Array:
    """Boxes with a margin on each side, clipped to the picture, in whole pixels.

    Args:
        boxes: (N, 4) x, y, width, height; NaN is no box, which gives the whole picture.
        margin: As a fraction of the box's side; None gives the whole picture.
        sizes: (N, 2) width and height of the pictures.

    >>> expand_boxes(np.array([[10.0, 10.0, 20.0, 20.0]]), 0.5, np.array([[100, 100]])).tolist()
    [[0.0, 0.0, 40.0, 40.0]]
    """
    result = np.zeros((len(boxes), 4))
    for row, (box, size) in enumerate(zip(boxes, sizes, strict=True)):
        if margin is None or np.isnan(box[0]):
            result[row, 2:] = size
            continue
        x, y, width, height = box
        scale = 1 + 2 * margin
        expanded = np.array([x - margin * width, y - margin * height, scale * width, scale * height])
        left, top, right, bottom = pixel_box(expanded, (int(size[0]), int(size[1])))
        result[row] = left, top, right - left, bottom - top
    return result


def view_dataset(
    labels: Labels,
    side: int,
    margin: float | None,
    *,
    vary: bool,
    folder: Path,
    workers: int,
    progress: Progress | None = None,
    verify: bool = False,
) -> tuple[PixelDataset, Labels]:
    """A dataset of `ViewBatch`es, through the pixel cache, and the labels of the pictures that could be decoded.

    Args:
        labels: The labeled pictures.
        side: Side of the detector's input in pixels.
        margin: Margin of a view around the box on each side, as a fraction of the box's side; None shows the picture.
        vary: Whether views will be augmented. Then a window is larger than the view and has twice its resolution; else
            it equals the view.
        folder: See `load_crops`.
        workers: See `load_crops`.
        progress: See `load_crops`.
        verify: See `load_crops`.

    Raises:
        DataError: Too many pictures cannot be decoded, or no ear is left.
    """
    labels = labels.single_ear_pictures() if margin is None else labels
    views = expand_boxes(labels.manifest.boxes, margin, labels.sizes)
    window_margin = None if margin is None else max(margin, WINDOW_MARGIN)
    windows = expand_boxes(labels.manifest.boxes, window_margin, labels.sizes) if vary else views
    manifest = replace(labels.manifest, boxes=windows)
    crops = load_crops(
        manifest, side * (OVERSAMPLING if vary else 1), folder, workers, progress, MAX_SKIPPED, verify=verify
    )
    failed = {item.index for item in crops.skipped}
    rows = np.array([row for row in range(len(labels)) if row not in failed])
    kept = replace(labels.subset(rows), skipped=[*labels.skipped, *crops.skipped])
    if not kept.has_ear.any():
        raise DataError(f"None of the {len(labels)} labeled pictures with an ear can be decoded. Check the pictures.")
    columns = _columns(kept, windows[rows], views[rows])
    return PixelDataset(crops.pixels, columns, kept.manifest), kept


def _columns(labels: Labels, windows: Array, views: Array) -> dict[str, Tensor]:
    """The columns of `ViewBatch`."""
    origin, size = windows[:, None, :2], windows[:, None, 2:]

    def relative(rectangles: Array) -> Array:
        return np.concatenate([(rectangles[:, :2] - origin[:, 0]) / size[:, 0], rectangles[:, 2:] / size[:, 0]], 1)

    columns = {
        "window": windows,
        "view": relative(views),
        "boxes": np.nan_to_num(relative(labels.manifest.boxes)),
        # labels have the first pixel's center at 0, windows have their border there
        "points": (labels.points[:, :, :2] + 0.5 - origin) / size,
    }
    result = {name: torch.from_numpy(values).float() for name, values in columns.items()}
    result["seen"] = torch.from_numpy(labels.points[:, :, 2]).long()
    result["ear"] = torch.from_numpy(labels.has_ear)
    return result


def render_views(
    batch: ViewBatch, side: int, strength: AugmentationStrength | None, generator: torch.Generator | None = None
) -> tuple[Tensor, Target]:
    """Images (B, 3, side, side) in [-1, 1] and their targets.

    Args:
        batch: Windows.
        side: Side of the images in pixels; ignored without augmentation.
        strength: Limits of the augmentation; None returns the windows, unchanged.
        generator: On the batch's device; None returns the windows, unchanged.
    """
    images = as_images(batch["pixels"])
    if strength is None or generator is None:
        return images, _target(batch["boxes"], batch["points"], batch)
    view = batch["view"]
    half = view[:, 2:]  # half the size of the view in grid units, where the window is [-1, 1]
    center = 2 * view[:, :2] + half - 1
    pose = sample_pose(len(view), strength, generator)
    rotation = half[:, :, None] * pose[:, :, :2]  # (B, 2, 2) from the image to the window
    shift = half * pose[:, :, 2] + center
    grid = affine_grid(torch.cat([rotation, shift[:, :, None]], 2), side)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    boxes, points, ear = _transform(batch["boxes"], batch["points"], torch.linalg.inv(rotation), shift)
    target = _target(boxes, points, batch)
    return jitter_light(images, strength, generator), target._replace(ear=target.ear & ear)


def _transform(boxes: Tensor, points: Tensor, inverse: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes and points in an augmented view, and whether a part of the box is inside it, (B,).

    Args:
        boxes: (B, 4), fractions of the window.
        points: (B, K, 2), fractions of the window.
        inverse: (B, 2, 2), from the window to the view.
        shift: (B, 2), the center of the view in grid units.
    """
    points = torch.cat([points, (boxes[:, :2] + boxes[:, 2:] / 2)[:, None]], 1)
    # no matrix product, which autocast would round to 16 bits
    moved = (((2 * points - 1 - shift[:, None])[:, :, None] * inverse[:, None]).sum(3) + 1) / 2
    # the bounding box of the rotated ellipse in the box: that of the rotated box would be too large
    extent = torch.linalg.vector_norm(inverse * boxes[:, None, 2:], dim=2)
    middle = moved[:, -1]
    low, high = ((middle + sign * extent / 2).clamp(0, 1) for sign in (-1, 1))
    return torch.cat([low, high - low], 1), moved[:, :-1], (high > low).all(1)


def _target(boxes: Tensor, points: Tensor, batch: ViewBatch) -> Target:
    inside = ((points >= 0) & (points <= 1)).all(2)
    return Target(boxes, points, (batch["seen"] > 0) & inside, (batch["seen"] > 1) & inside, batch["ear"])


def to_picture(points: Tensor, window: Tensor) -> Tensor:
    """Points (B, K, 2) from fractions of windows (B, 4) to pixels of the picture, the first pixel's center at 0."""
    return points * window[:, None, 2:] + window[:, None, :2] - 0.5


def boxes_to_picture(boxes: Tensor, window: Tensor) -> Tensor:
    """Boxes (B, 4) x, y, width, height from fractions of windows (B, 4) to pixels of the picture."""
    return torch.cat([boxes[:, :2] * window[:, 2:] + window[:, :2], boxes[:, 2:] * window[:, 2:]], 1)
