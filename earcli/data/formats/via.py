"""VGG Image Annotator: VIA 1 and 2, as a project, JSON or CSV (robots.ox.ac.uk/~vgg/software/via)."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from earcli.data.formats.columns import Columns, OnBadRow
from earcli.data.formats.shapes import Picture, Shape, bounded_float, columns_from_pictures
from earcli.errors import ManifestError
from earcli.untrusted.files import short_repr

TABLE = ("filename", "region_shape_attributes", "region_attributes")
LABELS = ("name", "label", "class", "category", "type")


def is_via(content: Any) -> bool:
    """Whether JSON content is a project or an export of VIA."""
    entries = _entries(content)
    return bool(entries) and all(isinstance(e, dict) and "filename" in e and "regions" in e for e in entries)


def read_via(content: Any, path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads rectangles, circles, ellipses, polygons and points. Pictures without a region are not labeled.

    Args:
        content: The parsed file.
        path: The file, for messages.
        on_bad_row: Called with what is wrong with a region.
    """
    pictures = []
    for entry in _entries(content):
        regions = entry["regions"]
        regions = list(regions.values()) if isinstance(regions, dict) else regions if isinstance(regions, list) else []
        picture = Picture(str(entry["filename"]), f"{path}, {short_repr(entry['filename'])}")
        for region in regions:
            attributes = region if isinstance(region, dict) else {}
            _add(picture, attributes.get("shape_attributes"), attributes.get("region_attributes"), on_bad_row)
        pictures.append(picture)
    return columns_from_pictures(pictures, on_bad_row)


def is_via_table(header: Iterable[str]) -> bool:
    """Whether a CSV has the columns of VIA."""
    return set(TABLE) <= set(header)


def read_via_table(rows: Iterable[tuple[int, Mapping[str, str]]], path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads the rows of a CSV of VIA, one for each region.

    Args:
        rows: The number of the line and the cells by column.
        path: The file, for messages.
        on_bad_row: Called with what is wrong with a row.

    Raises:
        ManifestError: There is no row.
    """
    pictures: dict[str, Picture] = {}
    for line, cells in rows:
        name = cells["filename"]
        picture = pictures.setdefault(name, Picture(name, f"{path}, {short_repr(name)}"))
        try:
            shape, attributes = (json.loads(cells[column] or "{}") for column in TABLE[1:])
        except (ValueError, RecursionError):
            on_bad_row(f"{path}, line {line}: the attributes are not JSON")
            picture.incomplete = True
            continue
        if shape:
            _add(picture, shape, attributes, on_bad_row)
    if not pictures:
        raise ManifestError(f"{path} is empty: it names no picture.")
    return columns_from_pictures(pictures.values(), on_bad_row)


def _entries(content: Any) -> list[Any]:
    if isinstance(content, dict) and isinstance(content.get("_via_img_metadata"), dict):
        content = content["_via_img_metadata"]
    return list(content.values()) if isinstance(content, dict) else []


def _add(picture: Picture, shape: Any, attributes: Any, on_bad_row: OnBadRow) -> None:
    try:
        picture.shapes.append(_shape(shape, _label(attributes)))
    except ValueError as error:
        on_bad_row(f"{picture.where}: {error}")
        picture.incomplete = True


def _label(attributes: Any) -> str:
    if not isinstance(attributes, dict):
        return ""
    values = {key.strip().lower(): value for key, value in attributes.items() if isinstance(key, str)}
    only = next(iter(values.values())) if len(values) == 1 else ""
    value = next((values[key] for key in LABELS if values.get(key)), only)
    if isinstance(value, dict):  # checkboxes
        value = next((key for key, on in value.items() if on), "")
    return str(value)


def _shape(shape: Any, label: str) -> Shape:
    if not isinstance(shape, dict):
        raise ValueError(f"shape_attributes is {short_repr(shape)}, expected an object")

    def number(key: str) -> float:
        return bounded_float(shape.get(key))

    kind = shape.get("name")
    if kind == "rect":
        left, top = number("x"), number("y")
        return Shape("box", np.array([[left, top], [left + number("width"), top + number("height")]]), label)
    if kind == "point":
        return Shape("point", np.array([[number("cx"), number("cy")]]), label)
    if kind in ("circle", "ellipse"):
        center = np.array([number("cx"), number("cy")])
        radius = np.array([number("r")] * 2 if kind == "circle" else [number("rx"), number("ry")])
        return Shape("box", np.array([center - radius, center + radius]), label)
    if kind == "polygon":
        axes = [axis for axis in (shape.get("all_points_x"), shape.get("all_points_y")) if isinstance(axis, list)]
        if len(axes) != 2 or not len(axes[0]) == len(axes[1]) >= 3:
            raise ValueError("a polygon without three or more all_points_x and all_points_y")
        return Shape("polygon", np.array([[bounded_float(v) for v in axis] for axis in axes]).T, label)
    raise ValueError(f"a region of the kind {short_repr(kind)}, expected rect, polygon, circle, ellipse or point")
