"""VGG Image Annotator: VIA 1 and 2, as a project, JSON or CSV (robots.ox.ac.uk/~vgg/software/via)."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from earcli.data.formats.columns import Columns, OnBadRow
from earcli.data.formats.shapes import Picture, Shape, bounded_float, columns_from_pictures
from earcli.errors import ManifestError
from earcli.untrusted.files import short_repr

TABLE = ("region_shape_attributes", "region_attributes")
NAMES = ("filename", "#filename")
"""The column of pictures, in VIA 2 and VIA 1."""
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
        name, regions = entry["filename"], entry["regions"]
        if not isinstance(name, str) or not name:
            on_bad_row(f"{path}: filename is {short_repr(name)}, expected the picture's name")
            continue
        picture = Picture(name, f"{path}, {short_repr(name)}")
        regions = list(regions.values()) if isinstance(regions, dict) else regions
        if not isinstance(regions, list):
            on_bad_row(f"{picture.where}: regions is {short_repr(regions)}, expected a list")
            picture.incomplete, regions = True, []
        for number, region in enumerate(regions):
            attributes = region if isinstance(region, dict) else {}
            where = f"{picture.where}, regions[{number}]"
            _add(picture, attributes.get("shape_attributes"), attributes.get("region_attributes"), where, on_bad_row)
        pictures.append(picture)
    return columns_from_pictures(pictures, on_bad_row)


def is_via_table(header: Iterable[str]) -> bool:
    """Whether a CSV has the columns of VIA."""
    columns = set(header)
    return columns.issuperset(TABLE) and not columns.isdisjoint(NAMES)


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
        where = f"{path}, line {line}"
        name = next((cells[column] for column in NAMES if cells.get(column)), "")
        if not name:
            on_bad_row(f"{where}: filename is empty, expected the picture's name")
            continue
        picture = pictures.setdefault(name, Picture(name, f"{path}, {short_repr(name)}"))
        try:
            shape, attributes = (json.loads(cells.get(column) or "{}") for column in TABLE)
        except (ValueError, RecursionError):
            on_bad_row(f"{where}: the attributes are not JSON")
            picture.incomplete = True
            continue
        if shape != {}:
            _add(picture, shape, attributes, where, on_bad_row)
    if not pictures:
        raise ManifestError(f"{path} is empty: it names no picture.")
    return columns_from_pictures(pictures.values(), on_bad_row)


def _entries(content: Any) -> list[Any]:
    if isinstance(content, dict) and isinstance(content.get("_via_img_metadata"), dict):
        content = content["_via_img_metadata"]
    return list(content.values()) if isinstance(content, dict) else []


def _add(picture: Picture, shape: Any, attributes: Any, where: str, on_bad_row: OnBadRow) -> None:
    try:
        picture.shapes.append(_shape(shape, _label(attributes)))
    except ValueError as error:
        on_bad_row(f"{where}: {error}")
        picture.incomplete = True


def _label(attributes: Any) -> str:
    if not isinstance(attributes, dict):
        return ""
    values = {key.strip().lower(): value for key, value in attributes.items() if isinstance(key, str)}
    only = next(iter(values.values())) if len(values) == 1 else ""
    value = next((values[key] for key in LABELS if values.get(key)), only)
    if isinstance(value, dict):  # checkboxes
        value = next((key for key, on in value.items() if on), "")
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        raise ValueError(f"region_attributes has the label {short_repr(value)}, expected text")
    return "" if value is None else str(value)


def _shape(shape: Any, label: str) -> Shape:
    if not isinstance(shape, dict):
        raise ValueError(f"shape_attributes is {short_repr(shape)}, expected an object")

    def number(key: str) -> float:
        return bounded_float(shape.get(key))

    def length(key: str) -> float:
        value = number(key)
        if value < 0:
            raise ValueError(f"{key} is {value}, expected a positive number")
        return value

    kind = shape.get("name")
    if kind == "rect":
        left, top = number("x"), number("y")
        return Shape("box", np.array([[left, top], [left + length("width"), top + length("height")]]), label)
    if kind == "point":
        return Shape("point", np.array([[number("cx"), number("cy")]]), label)
    if kind in ("circle", "ellipse"):
        center = np.array([number("cx"), number("cy")])
        if kind == "circle":
            radius = np.array([length("r")] * 2)
        else:
            a, b, angle = length("rx"), length("ry"), bounded_float(shape.get("theta") or 0)  # radians
            cos, sin = math.cos(angle), math.sin(angle)
            radius = np.array([math.hypot(a * cos, b * sin), math.hypot(a * sin, b * cos)])
        return Shape("box", np.array([center - radius, center + radius]), label)
    if kind == "polygon":
        axes = [axis for axis in (shape.get("all_points_x"), shape.get("all_points_y")) if isinstance(axis, list)]
        if len(axes) != 2 or not len(axes[0]) == len(axes[1]) >= 3:
            raise ValueError("a polygon without three or more all_points_x and all_points_y")
        return Shape("polygon", np.array([[bounded_float(v) for v in axis] for axis in axes]).T, label)
    raise ValueError(f"a region of the kind {short_repr(kind)}, expected rect, polygon, circle, ellipse or point")
