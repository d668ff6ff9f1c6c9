"""What a detector is shown of labeled pictures: cached windows around the ears, and views out of them."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from earcli.data.augmentation import Strength, affine_grid, draw_pose, relight
from earcli.data.batches import PixelDataset, as_images
from earcli.data.cache import Progress, load_crops
from earcli.data.images import pixel_box
from earcli.data.labels import MOST_SKIPPED, Labels
from earcli.errors import DataError

ROOM = 0.75
"""What a window shows around the box on each side, as a share of the box's side; views move and zoom within it."""
OVERSAMPLED = 2

Array = NDArray[np.float64]


class ViewBatch(TypedDict):
    """B windows, and where in them is what. Coordinates are fractions of the window's width and height.

    Attributes:
        pixels: (B, 3, C, C) uint8, channels last in memory.
        window: (B, 4) x, y, width, height in pixels of the picture.
        view: (B, 4) x, y, width, height of what is shown where nothing is varied.
        boxes: (B, 4) x, y, width, height; 0 where there is no ear.
        points: (B, K, 2) x and y.
        seen: (B, K) COCO's visibility.
        ear: (B,) bool.
    """

    pixels: Tensor
    window: Tensor
    view: Tensor
    boxes: Tensor
    points: Tensor
    seen: Tensor
    ear: Tensor


class Target(NamedTuple):
    """What should be found on images; coordinates are fractions of their sides.

    Attributes:
        boxes: (B, 4) x, y, width, height.
        points: (B, K, 2).
        labeled: (B, K) bool, the points that are known and inside.
        visible: (B, K) bool, those that are not hidden.
        ear: (B,) bool.
    """

    boxes: Tensor
    points: Tensor
    labeled: Tensor
    visible: Tensor
    ear: Tensor


def expand_boxes(boxes: Array, margin: float | None, sizes: NDArray[np.int64]) -> Array:
    """Boxes (N, 4) with a margin on each side, cut at the picture, in whole pixels; all of it for None or no box."""
    result = np.zeros((len(boxes), 4))
    for row, (box, size) in enumerate(zip(boxes, sizes, strict=True)):
        if margin is None or np.isnan(box[0]):
            result[row, 2:] = size
            continue
        x, y, width, height = box
        wide = np.array([x - margin * width, y - margin * height, (1 + 2 * margin) * width, (1 + 2 * margin) * height])
        left, top, right, bottom = pixel_box(wide, (int(size[0]), int(size[1])))
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
    """Windows as `ViewBatch`es, through the pixel cache, and the labels of those that could be decoded.

    Args:
        side: of the detector's input.
        margin: what a view shows around the box on each side, as a share of the box's side; None shows the picture.
        vary: whether views will be varied: then a window shows more than the view, at twice the resolution, else it is
            the view.
        folder, workers, progress, verify: see `load_crops`.

    Raises:
        DataError: too many pictures cannot be decoded.
    """
    labels = labels.alone() if margin is None else labels
    views = expand_boxes(labels.manifest.boxes, margin, labels.sizes)
    room = None if margin is None else max(margin, ROOM)
    windows = expand_boxes(labels.manifest.boxes, room, labels.sizes) if vary else views
    manifest = replace(labels.manifest, boxes=windows)
    shown = side * (OVERSAMPLED if vary else 1)
    crops = load_crops(manifest, shown, folder, workers, progress, MOST_SKIPPED, verify=verify)
    lost = {item.index for item in crops.skipped}
    rows = np.array([row for row in range(len(labels)) if row not in lost])
    kept = replace(labels.subset(rows), skipped=[*labels.skipped, *crops.skipped])
    if not kept.has_ear.any():
        raise DataError(f"No labeled ear of {len(labels)} is left that can be used. Mend the labels or --root-dir.")
    columns = _columns(kept, windows[rows], views[rows])
    return PixelDataset(crops.pixels, columns, kept.manifest), kept


def _columns(labels: Labels, windows: Array, views: Array) -> dict[str, Tensor]:
    start, extent = windows[:, None, :2], windows[:, None, 2:]

    def inside(rectangles: Array) -> Array:
        return np.concatenate([(rectangles[:, :2] - start[:, 0]) / extent[:, 0], rectangles[:, 2:] / extent[:, 0]], 1)

    columns = {
        "window": windows,
        "view": inside(views),
        "boxes": np.nan_to_num(inside(labels.manifest.boxes)),
        # the first pixel's center is at 0 in labels, at half a pixel from the border here
        "points": (labels.points[:, :, :2] + 0.5 - start) / extent,
    }
    result = {name: torch.from_numpy(values).float() for name, values in columns.items()}
    result["seen"] = torch.from_numpy(labels.points[:, :, 2]).long()
    result["ear"] = torch.from_numpy(labels.has_ear)
    return result


def show(
    batch: ViewBatch, side: int, strength: Strength | None, generator: torch.Generator | None = None
) -> tuple[Tensor, Target]:
    """Images (B, 3, side, side) in [-1, 1] and what is on them.

    Args:
        strength: how far views are turned, zoomed, shifted and lit; None shows windows, which must have this side, as
            they are.
        generator: on the batch's device.
    """
    images = as_images(batch["pixels"])
    if strength is None or generator is None:
        return images, _target(batch["boxes"], batch["points"], batch)
    view = batch["view"]
    half = view[:, 2:]  # of the view, where the window reaches from −1 to 1
    center = 2 * view[:, :2] + half - 1
    pose = draw_pose(len(view), strength, generator)
    turn = half[:, :, None] * pose[:, :, :2]  # (B, 2, 2) from the image to the window
    shift = half * pose[:, :, 2] + center
    grid = affine_grid(torch.cat([turn, shift[:, :, None]], 2), side)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    back = torch.linalg.inv(turn)
    boxes = batch["boxes"]
    points = torch.cat([batch["points"], (boxes[:, :2] + boxes[:, 2:] / 2)[:, None]], 1)
    # a product of matrices would be rounded under mixed precision
    moved = (((2 * points - 1 - shift[:, None])[:, :, None] * back[:, None]).sum(3) + 1) / 2
    # an ear is taken for the ellipse in its box: that of a turned box would be too large
    extent = torch.linalg.vector_norm(back * boxes[:, None, 2:], dim=2)
    middle = moved[:, -1]
    low, high = ((middle + sign * extent / 2).clamp(0, 1) for sign in (-1, 1))
    target = _target(torch.cat([low, high - low], 1), moved[:, :-1], batch)
    seen = target.ear & (high > low).all(1)  # an ear that left the view is not there
    return relight(images, strength, generator), target._replace(ear=seen)


def _target(boxes: Tensor, points: Tensor, batch: ViewBatch) -> Target:
    inside = ((points >= 0) & (points <= 1)).all(2)
    return Target(boxes, points, (batch["seen"] > 0) & inside, (batch["seen"] > 1) & inside, batch["ear"])


def to_picture(points: Tensor, window: Tensor) -> Tensor:
    """Points (B, K, 2) as fractions of windows (B, 4), in pixels of the picture, the first pixel's center at 0."""
    return points * window[:, None, 2:] + window[:, None, :2] - 0.5


def boxes_to_picture(boxes: Tensor, window: Tensor) -> Tensor:
    """Boxes (B, 4) of x, y, width, height as fractions of windows, in pixels of the picture."""
    return torch.cat([boxes[:, :2] * window[:, 2:] + window[:, :2], boxes[:, 2:] * window[:, 2:]], 1)
