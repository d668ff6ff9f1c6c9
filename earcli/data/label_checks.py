"""Checks of single labels: the names of their points, and whether they lie on their picture."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.columns import Keypoints, default_point_names
from earcli.data.images import BadPictureError, pixel_box

Array = NDArray[np.float64]


def most_common_layout(keypoints: Sequence[Keypoints | None], landmarks: int | None) -> tuple[str, ...]:
    """The most frequent names of points."""
    layouts = Counter(k.names for k in keypoints if k is not None and landmarks in (None, len(k.names)))
    if layouts:
        return layouts.most_common(1)[0][0]
    return default_point_names(landmarks or 0)


def _in_order(keypoints: Keypoints, names: tuple[str, ...]) -> Keypoints:
    """The same points in the order of `names`; raises `BadPictureError` if they have other names."""
    if len(keypoints.names) != len(names):
        raise BadPictureError(f"{len(keypoints.names)} points, expected {len(names)}", "points-count")
    if keypoints.names == names or default_point_names(len(names)) in (keypoints.names, names):
        return keypoints
    if set(keypoints.names) != set(names):
        other = next(name for name in keypoints.names if name not in names)
        raise BadPictureError(f"point {other!r} has another name than in the other labels", "points-names")
    order = [keypoints.names.index(name) for name in names]
    return Keypoints(names, keypoints.points[order])


def check_label(
    box: Array, keypoints: Keypoints | None, names: tuple[str, ...], size: tuple[int, int]
) -> tuple[Array, Array]:
    """A box that can be cropped, and points (K, 3); raises `BadPictureError` with the reason."""
    points = np.zeros((len(names), 3))
    if keypoints is not None and names:
        keypoints = _in_order(keypoints, names)
        points = keypoints.points.copy()
        xy = keypoints.labeled()
        outside = ((xy < -1) | (xy > size)).any(axis=1)
        if outside.any():
            where = ", ".join(f"{value:g}" for value in xy[outside][0])
            raise BadPictureError(f"point ({where}) lies outside the picture of {size[0]}×{size[1]}", "points-outside")
    if np.isnan(box[0]) and keypoints is not None:
        box = keypoints.box()
    if np.isnan(box[0]):
        raise BadPictureError("no label: neither a box nor points", "unlabeled")
    pixel_box(box, size)
    low, high = np.maximum(box[:2], 0), np.minimum(box[:2] + box[2:], size)
    points[points[:, 2] <= 0, :2] = 0  # coordinates of unlabeled points are arbitrary
    return np.concatenate([low, high - low]), points
