"""The ears of each picture, as the formats write them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earcli.data.formats.columns import Columns


@dataclass(frozen=True)
class Ear:
    """One ear to write.

    Attributes:
        box: x, y, width, height in pixels.
        points: Name, x, y in pixels and visibility of each key point.
        subject: The person; "" if unknown.
        score: Confidence in [0, 1]; None where it is no prediction.
    """

    box: list[float]
    points: list[tuple[str, float, float, int]]
    subject: str
    score: float | None


def ears_by_picture(
    columns: Columns, sizes: Sequence[tuple[int, int]], scores: Sequence[float] | None = None
) -> list[tuple[str, tuple[int, int], list[Ear]]]:
    """Name, width and height, and ears of each picture, in order of appearance; a NaN box becomes the whole picture."""
    pictures: dict[str, tuple[tuple[int, int], list[Ear]]] = {}
    for row, (name, size) in enumerate(zip(columns.paths, sizes, strict=True)):
        box = columns.boxes[row].tolist()
        keypoints = columns.keypoints[row] if columns.keypoints else None
        points = [] if keypoints is None else zip(keypoints.names, keypoints.points.tolist(), strict=True)
        ear = Ear(
            [0.0, 0.0, float(size[0]), float(size[1])] if np.isnan(box[0]) else box,
            [(point_name, x, y, int(visibility)) for point_name, (x, y, visibility) in points],
            columns.subjects[row] if columns.subjects else "",
            None if scores is None else float(scores[row]),
        )
        pictures.setdefault(name, (size, []))[1].append(ear)
    return [(name, size, ears) for name, (size, ears) in pictures.items()]
