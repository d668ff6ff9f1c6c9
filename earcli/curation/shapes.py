"""Key points that cannot be right."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import procrustes

from earcli.curation.findings import Finding, Side
from earcli.data.formats.columns import Keypoints

LEAST_SHAPES = 10
SPREADS = 8.0
MARGIN = 0.1
ROUNDS = 3


def outside_findings(number: int, side: Side) -> Iterator[Finding]:
    """Key points outside their box, by more than a tenth of its width or height."""
    for row, points in enumerate(side.manifest.keypoints or []):
        box = side.manifest.boxes[row]
        if points is None or not np.isfinite(box).all():
            continue
        margin = MARGIN * np.maximum(box[2:], 0)
        xy = points.labeled()
        outside = ((xy < box[:2] - margin) | (xy > box[:2] + box[2:] + margin)).any(axis=1)
        if outside.any():
            detail = f"{outside.sum()} of {len(xy)} key points are outside box {[round(v, 1) for v in box.tolist()]}"
            yield Finding("points-outside", number, row, detail, float(outside.mean()))


def layout_findings(sides: Sequence[Side]) -> Iterator[Finding]:
    """Ears whose key points form another shape than the others' do: swapped, shifted, of another order.

    Each complete shape is laid over the median shape of its layout (Procrustes analysis: moved, scaled, turned and, for
    the other ear, mirrored). Unusual is a distance over the median by more than 8 times the median absolute deviation.
    Layouts of fewer than 10 ears are not judged.
    """
    layouts: dict[tuple[str, ...], list[tuple[int, int, NDArray[np.float64]]]] = defaultdict(list)
    for number, side in enumerate(sides):
        for row, points in enumerate(side.manifest.keypoints or []):
            if points is not None and _complete(points):
                layouts[points.names].append((number, row, points.points[:, :2]))
    for members in layouts.values():
        if len(members) < LEAST_SHAPES:
            continue
        distances = _distances(np.array([shape for _, _, shape in members]))
        middle = np.median(distances)
        spread = max(float(np.median(np.abs(distances - middle))), 1e-6)
        for (number, row, _), distance in zip(members, distances, strict=True):
            score = (distance - middle) / spread
            if score > SPREADS:
                detail = f"shape differs from the median one by {distance:.3f}, most by about {middle:.3f} (Procrustes)"
                yield Finding("points-layout", number, row, detail, float(score))


def _complete(points: Keypoints) -> bool:
    # a shape whose points all coincide has no size to scale by
    return bool((points.points[:, 2] > 0).all() and len(points.points) >= 3 and np.ptp(points.points[:, :2]) > 0)


def _distances(shapes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) square roots of the Procrustes disparities between shapes (N, K, 2) and their median shape."""
    middle = shapes[0]
    for _ in range(ROUNDS):
        aligned = np.array([procrustes(middle, shape)[1] for shape in shapes])
        middle = np.median(aligned, axis=0)
    return np.sqrt([procrustes(middle, shape)[2] for shape in shapes])
