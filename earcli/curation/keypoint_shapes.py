"""Keypoints outside their box, and shapes of keypoints unlike the others."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import procrustes

from earcli.curation.findings import Finding
from earcli.curation.split_part import SplitPart
from earcli.data.formats.columns import Keypoints

MIN_SHAPES = 10
MAX_DEVIATIONS = 8.0
BOX_MARGIN = 0.1
MEDIAN_ITERATIONS = 3


class _Shape(NamedTuple):
    part: SplitPart
    row: int
    points: NDArray[np.float64]  # (K, 2)


def find_points_outside(part: SplitPart) -> Iterator[Finding]:
    """Keypoints outside their box by more than a tenth of its width or height."""
    for row, keypoints in enumerate(part.manifest.keypoints or []):
        box = part.manifest.boxes[row]
        if keypoints is None or not np.isfinite(box).all():
            continue
        margin = BOX_MARGIN * np.maximum(box[2:], 0)
        xy = keypoints.labeled()
        outside = ((xy < box[:2] - margin) | (xy > box[:2] + box[2:] + margin)).any(axis=1)
        if outside.any():
            detail = f"{outside.sum()} of {len(xy)} keypoints are outside box {np.round(box, 1).tolist()}"
            yield part.finding("points-outside", row, detail, float(outside.mean()))


def find_unusual_shapes(parts: Sequence[SplitPart]) -> Iterator[Finding]:
    """Ears whose keypoints form an unusual shape: swapped, shifted, or in another order.

    Each complete shape is aligned with the median shape of its layout by Procrustes analysis (translation, scale,
    rotation and, for the other ear, reflection). A shape is unusual if its distance exceeds the median distance by more
    than 8 median absolute deviations. Layouts of fewer than 10 ears are skipped.
    """
    layouts: dict[tuple[str, ...], list[_Shape]] = defaultdict(list)
    for part in parts:
        for row, keypoints in enumerate(part.manifest.keypoints or []):
            if keypoints is not None and _is_complete(keypoints):
                layouts[keypoints.names].append(_Shape(part, row, keypoints.points[:, :2]))
    for shapes in layouts.values():
        if len(shapes) < MIN_SHAPES:
            continue
        distances = _distances(np.array([shape.points for shape in shapes]))
        median = np.median(distances)
        deviation = max(float(np.median(np.abs(distances - median))), 1e-6)
        for shape, distance in zip(shapes, distances, strict=True):
            score = float((distance - median) / deviation)
            if score > MAX_DEVIATIONS:
                detail = f"Procrustes distance {distance:.3f} from the median shape; the median is {median:.3f}"
                yield shape.part.finding("points-layout", shape.row, detail, score)


def _is_complete(keypoints: Keypoints) -> bool:
    xy, visibility = keypoints.points[:, :2], keypoints.points[:, 2]
    # a shape whose points all coincide has no scale
    return bool((visibility > 0).all() and len(xy) >= 3 and np.ptp(xy) > 0)


def _distances(shapes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) square roots of the Procrustes disparities between shapes (N, K, 2) and their median shape."""
    median = shapes[0]
    for _ in range(MEDIAN_ITERATIONS):
        aligned = np.array([procrustes(median, shape)[1] for shape in shapes])
        median = np.median(aligned, axis=0)
    return np.sqrt([procrustes(median, shape)[2] for shape in shapes])
