"""LabelMe: JSON with shapes, one file for each picture (github.com/wkentaro/labelme)."""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.columns import Columns, OnBadRow
from earcli.data.formats.ears import Ear, ears_by_picture, files_of_pictures
from earcli.data.formats.shapes import Kind, Picture, Shape, bounded_float, columns_from_pictures, positive_size
from earcli.files import atomic_write
from earcli.untrusted.files import short_repr

VERSION = "5.5.0"
KINDS: dict[str, Kind] = {"rectangle": "box", "polygon": "polygon", "point": "point", "circle": "box"}
COUNTS = {"rectangle": (2, 4), "point": (1,), "circle": (2,)}
"""Points of each type of shape; the labels of turned rectangles hold four corners."""


def is_labelme(content: Any) -> bool:
    """Whether JSON content is one picture of LabelMe."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read_labelme(content: Any, path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads rectangles, polygons, circles and points; a file without a shape says that its picture shows no ear.

    The label of a point is its name. Shapes with one `group_id` are one ear.

    Args:
        content: The parsed file.
        path: The file; its stem is the picture's name where the file has none.
        on_bad_row: Called with what is wrong with a shape.
    """
    name = content["imagePath"] if isinstance(content["imagePath"], str) and content["imagePath"] else path.stem
    size = positive_size(content.get("imageWidth"), content.get("imageHeight"))
    picture = Picture(name, str(path), size, reviewed=True)
    for number, item in enumerate(content["shapes"]):
        try:
            picture.shapes.append(_shape(item))
        except ValueError as error:
            on_bad_row(f"{path}, shapes[{number}]: {error}")
            picture.incomplete = True
    return columns_from_pictures([picture], on_bad_row)


def _shape(item: Any) -> Shape:
    if not isinstance(item, dict):
        raise ValueError(f"{short_repr(item)} is not an object")
    shape_type = item.get("shape_type") or "polygon"  # old versions drew nothing else
    if not isinstance(shape_type, str) or shape_type not in KINDS:
        raise ValueError(f"shape_type is {short_repr(shape_type)}, expected {', '.join(KINDS)}")
    xy = _points(item.get("points"))
    counts = COUNTS.get(shape_type)
    if len(xy) < 3 if counts is None else len(xy) not in counts:
        expected = "three or more" if counts is None else " or ".join(map(str, counts))
        raise ValueError(f"a {shape_type} has {len(xy)} points, expected {expected}")
    if shape_type == "circle":
        radius = np.hypot(*(xy[1] - xy[0]))
        xy = np.array([xy[0] - radius, xy[0] + radius])
    return Shape(KINDS[shape_type], xy, _text(item, "label"), _text(item, "group_id"))


def _points(points: Any) -> NDArray[np.float64]:
    if not isinstance(points, list) or not points or any(not isinstance(p, list) or len(p) != 2 for p in points):
        raise ValueError(f"points is {short_repr(points)}, expected [[x, y], ...]")
    return np.array([[bounded_float(value) for value in point] for point in points])


def _text(item: dict[str, Any], key: str) -> str:
    """A label or a group, which some programs write as integers."""
    value = item.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{key} is {short_repr(value)}, expected text or an integer")
    return str(value)


def write_labelme(
    folder: Path, columns: Columns, sizes: Sequence[tuple[int, int]], scores: Sequence[float] | None = None
) -> None:
    """Writes a file for each picture: a rectangle for each ear and a point for each labeled key point, in one group.

    LabelMe has no place for subjects, scores, or whether a point is hidden.

    Args:
        folder: Where to write; subfolders are those of the pictures, without "..".
        columns: N samples.
        sizes: Width and height in pixels of the picture of each.
        scores: Ignored.

    Raises:
        RunError: A file cannot be written, or two pictures would share one; nothing is written in the second case.
    """
    pictures = ears_by_picture(columns, sizes)
    files = files_of_pictures(folder, [name for name, _, _ in pictures], ".json")
    for file, (name, size, ears) in zip(files, pictures, strict=True):
        content: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": [shape for group, ear in enumerate(ears, 1) for shape in _to_shapes(ear, group)],
            "imagePath": PurePosixPath(name).name,
            "imageData": None,
            "imageHeight": size[1],
            "imageWidth": size[0],
        }
        with atomic_write(file) as temporary:
            temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _to_shapes(ear: Ear, group: int) -> list[dict[str, Any]]:
    left, top, width, height = ear.box
    common = {"group_id": group, "description": "", "flags": {}, "mask": None}
    corners = [[left, top], [left + width, top + height]]
    shapes = [{"label": "ear", "points": corners, "shape_type": "rectangle", **common}]
    shapes += [
        {"label": point_name, "points": [[x, y]], "shape_type": "point", **common}
        for point_name, x, y, visibility in ear.points
        if visibility
    ]
    return shapes
