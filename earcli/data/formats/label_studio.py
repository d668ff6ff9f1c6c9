"""Label Studio: its JSON export, JSON-MIN, and pre-labels to import (labelstud.io/guide/export)."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from earcli.data.formats.columns import Columns, OnBadRow
from earcli.data.formats.ears import Ear, ears_by_picture
from earcli.data.formats.shapes import Picture, Shape, bounded_float, columns_from_pictures, positive_size
from earcli.files import atomic_write
from earcli.untrusted.files import short_repr

LABELS = ("rectanglelabels", "polygonlabels", "keypointlabels", "labels")


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
    no region shows no ear; one without an annotation is not labeled. Cancelled annotations are ignored.

    Args:
        content: The parsed file.
        path: The file, for messages.
        on_bad_row: Called with what is wrong with a region.
        predictions: Whether to read predictions instead of annotations, which `write_label_studio` writes.
    """
    pictures = []
    for number, task in enumerate(content):
        where = f"{path}, task {short_repr(task.get('id', number))}"
        try:
            name, regions = _task(task, predictions)
        except ValueError as error:
            on_bad_row(f"{where}: {error}")
            continue
        picture = Picture(name, where, reviewed=regions is not None)
        for region in regions or ():
            _add_region(picture, region, on_bad_row)
        picture.shapes = _grouped(picture.shapes, regions or ())
        pictures.append(picture)
    return columns_from_pictures(pictures, on_bad_row)


def _task(task: Mapping[str, Any], predictions: bool) -> tuple[str, list[Any] | None]:
    """The picture and the regions of a task; None for those of a task that nobody labeled."""
    if not isinstance(task.get("data"), dict):
        return task["image"], list(_min_regions(task))
    data = task["data"]
    texts = [value for value in data.values() if isinstance(value, str) and "." in value]
    name = data.get("image") if isinstance(data.get("image"), str) else texts[0] if len(texts) == 1 else None
    if not name:
        raise ValueError(f"data is {short_repr(data)}, expected the picture under image")
    found = task.get("predictions") if predictions else task.get("annotations", task.get("completions"))
    kept = [a for a in found or () if isinstance(a, dict) and not a.get("was_cancelled")]
    results = [a["result"] for a in kept if isinstance(a.get("result"), list)]
    if len(results) > 1 and any(_values(result) != _values(results[0]) for result in results[1:]):
        raise ValueError(f"{len(results)} annotations of {short_repr(name)} differ. Keep one of them")
    return name, results[0] if results else None


def _values(result: Sequence[Any]) -> list[Any]:
    return [item.get("value") if isinstance(item, dict) else item for item in result]


def _min_regions(task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The regions of a task in the minimal form, as in the full one."""
    for key, value in task.items():
        for item in value if isinstance(value, list) else ():
            if isinstance(item, dict) and ("original_width" in item or "x" in item or "points" in item):
                sizes = {name: item.get(name) for name in ("original_width", "original_height", "image_rotation")}
                yield {"value": item, "from_name": key, "id": item.get("id"), "parentID": item.get("parentID"), **sizes}


def _add_region(picture: Picture, region: Any, on_bad_row: OnBadRow) -> None:
    if isinstance(region, dict) and region.get("type") in ("relation", "choices", "textarea", "rating"):
        return
    try:
        shape, size = _shape(region)
    except ValueError as error:
        on_bad_row(f"{picture.where}: {error}")
        picture.incomplete = True
        return
    picture.size = picture.size or size
    picture.shapes.append(shape)


def _shape(region: Any) -> tuple[Shape, tuple[int, int]]:
    value = region.get("value") if isinstance(region, dict) else None
    if not isinstance(value, dict):
        raise ValueError(f"{short_repr(region)} has no value")
    size = positive_size(region.get("original_width"), region.get("original_height"))
    if size is None:
        raise ValueError("a region has no original_width and original_height")
    if bounded_float(region.get("image_rotation") or 0):
        raise ValueError("its picture was turned while it was labeled (image_rotation)")
    label = next((str(value[key][0]) for key in LABELS if isinstance(value.get(key), list) and value[key]), "")
    group = str(region.get("id") or "")
    if "points" in value:
        points = value["points"]
        if (
            not isinstance(points, list)
            or any(not isinstance(p, list) or len(p) != 2 for p in points)
            or len(points) < 3
        ):
            raise ValueError(f"points is {short_repr(points)}, expected three or more [x, y]")
        xy = np.array([[bounded_float(v) for v in point] for point in points])
        return Shape("polygon", xy * size / 100, label, group), size
    x, y = bounded_float(value.get("x")), bounded_float(value.get("y"))
    if "keypointlabels" in value or "height" not in value:
        parent = str(region.get("parentID") or "")
        return Shape("point", np.array([[x, y]]) * size / 100, label, parent), size
    width, height = bounded_float(value.get("width")), bounded_float(value.get("height"))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) * size / 100
    angle = math.radians(bounded_float(value.get("rotation") or 0))
    turned = corners @ np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return Shape("polygon", (turned if angle else corners) + np.array([x, y]) * size / 100, label, group), size


def _grouped(shapes: list[Shape], regions: Sequence[Any]) -> list[Shape]:
    """Drops the groups of points that no rectangle has: a point without its parent is matched by position."""
    outlines = {shape.group for shape in shapes if shape.kind != "point"}
    return [
        shape
        if shape.kind != "point" or shape.group in outlines
        else Shape("point", shape.xy, shape.label, "", subject=shape.subject)
        for shape in shapes
    ]


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
        prediction: dict[str, Any] = {"model_version": "ear", "result": result}
        if scores is not None:
            prediction["score"] = max(ear.score or 0.0 for ear in ears)
        tasks.append({"data": {"image": name}, "predictions": [prediction]})
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
