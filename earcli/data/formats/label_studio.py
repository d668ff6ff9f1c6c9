"""Label Studio: its JSON export, JSON-MIN, and pre-labels to import (labelstud.io/guide/export)."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.columns import Columns, OnBadRow
from earcli.data.formats.ears import Ear, ears_by_picture
from earcli.data.formats.shapes import Kind, Picture, Shape, bounded_float, columns_from_pictures, positive_size
from earcli.files import atomic_write
from earcli.untrusted.files import short_repr

KINDS: dict[str, Kind] = {"rectangle": "box", "polygon": "polygon", "keypoint": "point"}
NO_SHAPES = ("relation", "choices", "textarea", "rating", "number", "taxonomy", "datetime", "pairwise", "ranker")
MIN_FIELDS = ("id", "parentID", "original_width", "original_height", "image_rotation")


def is_label_studio(content: Any) -> bool:
    """Whether JSON content is a list of tasks of Label Studio, in its full or its minimal form."""
    return isinstance(content, list) and bool(content) and all(map(_is_task, content))


def _is_task(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    if isinstance(item.get("data"), dict):
        return any(isinstance(item.get(key), list) for key in ("annotations", "completions", "predictions"))
    return isinstance(item.get("image"), str) and ("annotation_id" in item or any(_min_regions(item)))


def read_label_studio(content: Any, path: Path, on_bad_row: OnBadRow, predictions: bool = False) -> Columns:
    """Reads rectangles, polygons and key points, whose percentages become pixels of the original picture.

    A key point belongs to the rectangle that is its parent or that a relation links it to. A task whose annotation has
    no result shows no ear; one without an annotation is not labeled. Cancelled annotations are ignored, and a task
    whose annotations differ cannot be used.

    Args:
        content: The parsed file.
        path: The file, for messages.
        on_bad_row: Called with what is wrong with a region.
        predictions: Whether to read predictions instead of annotations, which `write_label_studio` writes.
    """
    pictures = []
    for where, name, results in _tasks(content, path, on_bad_row, predictions):
        picture = Picture(name, where)
        pictures.append(picture)
        if any(not isinstance(result, list) for result in results):
            problem = "the result of an annotation is no list"
        elif any(_values(result) != _values(results[0]) for result in results[1:]):
            problem = f"{len(results)} annotations of {short_repr(name)} differ. Keep one of them"
        else:
            picture.reviewed = bool(results) and not results[0]
            _add_regions(picture, results[0] if results else [], on_bad_row)
            continue
        picture.incomplete = True
        on_bad_row(f"{where}: {problem}")
    return columns_from_pictures(pictures, on_bad_row)


def _tasks(
    content: Sequence[Any], path: Path, on_bad_row: OnBadRow, predictions: bool
) -> Iterator[tuple[str, str, list[Any]]]:
    """Where each task is, its picture, and the result of each annotation of it."""
    minimal: dict[tuple[Any, str], tuple[str, str, list[Any]]] = {}  # which has one entry for each annotation
    for number, task in enumerate(content):
        where = f"{path}, task {short_repr(task.get('id', number))}"
        if not isinstance(task.get("data"), dict):
            name, key = task["image"], task["id"] if isinstance(task.get("id"), int | str) else number
            minimal.setdefault((key, name), (where, name, []))[2].append(list(_min_regions(task)))
            continue
        try:
            yield where, _name(task["data"]), _results(task, predictions)
        except ValueError as error:
            on_bad_row(f"{where}: {error}")
    yield from minimal.values()


def _name(data: Mapping[str, Any]) -> str:
    image = data.get("image")
    texts = [value for value in data.values() if isinstance(value, str) and "." in value]
    name = image if isinstance(image, str) else texts[0] if len(texts) == 1 else ""
    if not name:
        raise ValueError(f"data is {short_repr(data)}, expected the picture under image")
    return name


def _results(task: Mapping[str, Any], predictions: bool) -> list[Any]:
    found = task.get("predictions") if predictions else task.get("annotations", task.get("completions"))
    if found is not None and (not isinstance(found, list) or not all(isinstance(item, dict) for item in found)):
        raise ValueError(f"annotations is {short_repr(found)}, expected a list of objects")
    return [item.get("result") for item in found or () if not (item.get("was_cancelled") or item.get("skipped"))]


def _values(result: Sequence[Any]) -> list[Any]:
    """What two annotations are compared by: ids are random."""
    return [(item.get("type"), item.get("value")) if isinstance(item, dict) else item for item in result]


def _min_regions(task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The regions of a task in the minimal form, as in the full one."""
    for value in task.values():
        for item in value if isinstance(value, list) else ():
            if isinstance(item, dict) and ("original_width" in item or "x" in item or "points" in item):
                yield {"value": item, **{key: item[key] for key in MIN_FIELDS if key in item}}


def _add_regions(picture: Picture, result: Sequence[Any], on_bad_row: OnBadRow) -> None:
    """Adds the shapes of an annotation; several results with one id are one region."""
    shapes: dict[str, Shape] = {}
    for number, region in enumerate(result):
        if isinstance(region, dict) and region.get("type") in NO_SHAPES:
            continue
        try:
            shape, size = _shape(region)
            key = _text(region.get("id")) or f"\0{number}"
            if picture.size not in (None, size):
                raise ValueError(
                    f"it is on a picture of {size}, the others on one of {picture.size}, expected one size"
                )
        except ValueError as error:
            on_bad_row(f"{picture.where}, result[{number}]: {error}")
            picture.incomplete = True
            continue
        picture.size = size
        known = shapes.get(key)
        if known is None or not np.array_equal(known.xy, shape.xy):
            shapes[key if known is None else f"\0{number}"] = shape
        elif not known.label:
            shapes[key] = shape
    outlines, links = {key for key, shape in shapes.items() if shape.kind != "point"}, _links(result)
    for key, shape in shapes.items():  # a point without an outline is matched by position
        owners = {key} & outlines or links.get(key, set()) & outlines
        picture.shapes.append(replace(shape, group=min(owners) if len(owners) == 1 else ""))


def _links(result: Sequence[Any]) -> dict[str, set[str]]:
    """The regions that each region is linked to, as parent, as child or by a relation."""
    links: dict[str, set[str]] = {}
    for region in (item for item in result if isinstance(item, dict)):
        ends = ("from_id", "to_id") if region.get("type") == "relation" else ("id", "parentID")
        first, second = map(region.get, ends)
        if isinstance(first, str) and isinstance(second, str):
            links.setdefault(first, set()).add(second)
            links.setdefault(second, set()).add(first)
    return links


def _shape(region: Any) -> tuple[Shape, tuple[int, int]]:
    """The shape of a region and the size of its picture; raises `ValueError` with what is wrong."""
    value = region.get("value") if isinstance(region, dict) else None
    if not isinstance(value, dict):
        raise ValueError(f"{short_repr(region)} has no value, expected a shape")
    kind = _kind(region.get("type"), value)
    size = positive_size(region.get("original_width"), region.get("original_height"))
    if size is None:
        raise ValueError("a region has no original_width and original_height, expected pixels")
    if bounded_float(region.get("image_rotation") or 0):
        raise ValueError("its picture was turned while it was labeled (image_rotation), expected 0")
    label = _text(next((v for k, v in value.items() if k.endswith("labels") and v and isinstance(v, list)), [""])[0])
    if kind == "polygon":
        xy = _vertices(value.get("points"))
    elif kind == "point":
        xy = np.array([[bounded_float(value.get("x")), bounded_float(value.get("y"))]])
    else:
        xy = np.array([[bounded_float(value.get(key)) for key in keys] for keys in (("x", "y"), ("width", "height"))])
        if (xy[1] < 0).any():
            raise ValueError(f"width and height are {xy[1].tolist()}, expected positive numbers")
        return Shape("polygon", _corners(xy * size / 100, bounded_float(value.get("rotation") or 0)), label), size
    return Shape(kind, xy * size / 100, label), size


def _kind(written: Any, value: Mapping[str, Any]) -> Kind:
    """The kind of a region by its type or, in the minimal form and with plain labels, by its fields."""
    names = [key for key in value if key.endswith("labels") and key != "labels"]
    if isinstance(written, str) and written != "labels":
        names = [written]
    elif not names:
        fields = {"radiusX": "ellipse", "points": "polygon", "height": "rectangle", "x": "keypoint"}
        names = [fields[key] for key in fields if key in value][:1]
    kind = KINDS.get(names[0].removesuffix("labels")) if len(names) == 1 else None
    if kind is None:
        raise ValueError(f"a region of the type {short_repr(' '.join(names))}, expected a rectangle, polygon, keypoint")
    return kind


def _vertices(points: Any) -> NDArray[np.float64]:
    pairs = isinstance(points, list) and all(isinstance(point, list) and len(point) == 2 for point in points)
    if not pairs or len(points) < 3:
        raise ValueError(f"points is {short_repr(points)}, expected three or more [x, y]")
    return np.array([[bounded_float(v) for v in point] for point in points])


def _corners(rectangle: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """(4, 2) corners of a rectangle (top-left corner, sides), turned clockwise around its top-left corner."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * rectangle[1]
    return np.asarray(corners @ np.array([[cos, sin], [-sin, cos]]) + rectangle[0])


def _text(value: Any) -> str:
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
        raise ValueError(f"a label or an id is {short_repr(value)}, expected text")
    return "" if value is None else str(value)


def write_label_studio(
    path: Path, columns: Columns, sizes: Sequence[tuple[int, int]], scores: Sequence[float] | None = None
) -> None:
    """Writes tasks with predictions, which Label Studio imports as pre-labels.

    The labeling configuration needs `<RectangleLabels name="label" toName="image">` and `<KeyPointLabels
    name="keypoints" toName="image">`.

    Args:
        path: The file to write.
        columns: N samples.
        sizes: Width and height in pixels of the picture of each.
        scores: The confidence of each in [0, 1].

    Raises:
        RunError: It cannot be written.
    """
    tasks = []
    for name, size, ears in ears_by_picture(columns, sizes, scores):
        result = [region for number, ear in enumerate(ears, 1) for region in _regions(ear, f"ear{number}", size)]
        score = {} if scores is None else {"score": max(ear.score or 0.0 for ear in ears)}
        tasks.append({"data": {"image": name}, "predictions": [{"model_version": "ear", **score, "result": result}]})
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(tasks, indent=1), encoding="utf-8")


def _regions(ear: Ear, key: str, size: tuple[int, int]) -> Iterator[dict[str, Any]]:
    sides = {"original_width": size[0], "original_height": size[1], "image_rotation": 0, "to_name": "image"}
    left, top, width, height = (100 * v / side for v, side in zip(ear.box, size * 2, strict=True))
    value = {"x": left, "y": top, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["ear"]}
    box: dict[str, Any] = {"id": key, "from_name": "label", "type": "rectanglelabels", "value": value, **sides}
    yield box if ear.score is None else box | {"score": ear.score}
    for point_name, x, y, visibility in ear.points:
        if visibility:
            dot = {"x": 100 * x / size[0], "y": 100 * y / size[1], "width": 0.5, "keypointlabels": [point_name]}
            region = {"id": f"{key}-{point_name}", "from_name": "keypoints", "type": "keypointlabels", "value": dot}
            yield region | sides | {"parentID": key}
