"""COCO JSON: boxes and key points (cocodataset.org/#format-data)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli import __version__
from earcli.data.formats.columns import Columns, Keypoints, OnBadRow, default_point_names, nan_to_inf, parse_side
from earcli.errors import ManifestError
from earcli.files import atomic_write
from earcli.untrusted.files import short_repr

EXTRA = {"subjects": "subject", "checksums": "checksum", "sources": "source", "sides": "side"}
"""Columns that COCO lacks, by the field of an annotation that `write_coco` puts them in."""
NO_BOX = (np.nan,) * 4


def is_coco(content: Any) -> bool:
    """Whether JSON content has COCO's lists."""
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations"))


def read_coco(content: Any, path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads COCO's detection and key-point format: one sample per annotation.

    Ids match by value, whether they are numbers or text. An annotation without `bbox` gets the bounding box of its
    `segmentation`; with labeled key points alone it has no box here. Crowds and ignored regions are no ears. What
    `write_coco` adds to an annotation (`subject`, `checksum`, `source`, `side`) is read back.

    Args:
        content: The parsed file.
        path: The file, for messages.
        on_bad_row: Called with what is wrong with an annotation.

    Raises:
        ManifestError: An image id or a file name stands for two images.
    """
    images = _images(content["images"], path)
    categories = _categories(content.get("categories"))
    rows: list[_Row] = []
    named: set[str] = set()
    for number, item in enumerate(content["annotations"]):
        if isinstance(item, dict):
            named.add(_id(item.get("image_id")))
        try:
            rows.append(_annotation(item, images, categories))
        except ValueError as error:
            on_bad_row(f"{path}, annotations[{number}]: {error}")
    ids = [_id(row.item["image_id"]) for row in rows]
    return Columns(
        [row.image.name for row in rows],
        np.array([row.box for row in rows], dtype=np.float64).reshape(-1, 4),
        keypoints=[row.points for row in rows] if any(row.points for row in rows) else None,
        categories=[row.category for row in rows],
        sizes=[row.image.size for row in rows],
        image_ids=[int(key) for key in ids] if all(map(str.isdecimal, ids)) else None,
        unlabeled=tuple(image.name for key, image in images.items() if key not in named),
        **{key: [row.extra[key] for row in rows] for key in EXTRA if any(row.extra[key] for row in rows)},  # type: ignore[arg-type]
    )


@dataclass(frozen=True)
class _Image:
    name: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class _Category:
    name: str
    point_names: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    item: dict[str, Any]
    image: _Image
    box: Sequence[float]
    points: Keypoints | None
    category: str
    extra: dict[str, str]


def _id(value: Any) -> str:
    """An id as text, equal for 7, 7.0 and "7"; "" for what cannot be one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return ""
    try:
        text = str(value).strip()
    except ValueError:  # an integer of thousands of digits
        return ""
    return str(int(text)) if text.isascii() and text.isdigit() and len(text) < 20 else text


def _images(items: Sequence[Any], path: Path) -> dict[str, _Image]:
    """The images by id."""
    images: dict[str, _Image] = {}
    ids: dict[str, str] = {}
    for item in items:
        key, name = (_id(item.get("id")), item.get("file_name")) if isinstance(item, dict) else ("", None)
        if not key or not isinstance(name, str) or not name:
            continue
        if key in images and images[key].name != name:
            names = f"{short_repr(images[key].name)} and {short_repr(name)}"
            raise ManifestError(f"{path}: image id {short_repr(item['id'])} stands for {names}. Export it again.")
        if ids.setdefault(name, key) != key:
            raise ManifestError(f"{path}: {short_repr(name)} has the image ids {ids[name]} and {key}. Export it again.")
        images[key] = _Image(name, _size(item.get("width"), item.get("height")))
    return images


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    if all(_is_number(value) and value > 0 and value == int(value) for value in (width, height)):
        return int(width), int(height)
    return None


def _categories(items: Any) -> dict[str, _Category]:
    result = {}
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and _id(item.get("id")):
            names = item.get("keypoints")
            point_names = tuple(map(str, names)) if isinstance(names, list) else ()
            result[_id(item["id"])] = _Category(str(item.get("name", "")), point_names)
    return result


def _annotation(item: Any, images: Mapping[str, _Image], categories: Mapping[str, _Category]) -> _Row:
    """One annotation; raises `ValueError` with what is wrong."""
    if not isinstance(item, dict):
        raise ValueError(f"{short_repr(item)} is not an object")
    image = images.get(_id(item.get("image_id")))
    if image is None:
        raise ValueError(f"image_id {short_repr(item.get('image_id'))} is none of the images")
    category = categories.get(_id(item.get("category_id")), _Category("", ()))
    if categories and _id(item.get("category_id")) not in categories:
        raise ValueError(f"category_id {short_repr(item.get('category_id'))} is none of the categories")
    for mark in ("iscrowd", "ignore"):
        if item.get(mark) in (1, True, "1"):
            raise ValueError(f"{mark} is set, so it is not one ear")
    points = _points(item["keypoints"], category.point_names) if item.get("keypoints") else None
    if points is not None and not len(points.labeled()):
        points = None
    extra = {key: str(item.get(field, "")) for key, field in EXTRA.items()} | {"sides": parse_side(item.get("side"))}
    return _Row(item, image, _box(item, points is not None), points, category.name, extra)


def _box(item: Mapping[str, Any], has_points: bool) -> Sequence[float]:
    box, outline = item.get("bbox"), item.get("segmentation")
    if box is None or box == []:
        if outline:
            return _outline_box(outline)
        if has_points:
            return NO_BOX
        if item.get("keypoints"):
            raise ValueError("no point is labeled, and there is no bbox")
    values = _numbers(box, "bbox")
    if len(values) != 4:
        raise ValueError(f"bbox is {short_repr(box)}, expected [x, y, width, height]")
    return list(map(float, values))


def _outline_box(outline: Any) -> Sequence[float]:
    """The bounding box of polygons, each a flat list of x and y."""
    if not isinstance(outline, list):
        raise ValueError("there is no bbox, and segmentation is run-length encoded, expected polygons")
    parts = [_numbers(part, "segmentation") for part in outline]
    if any(len(part) < 6 or len(part) % 2 for part in parts):
        raise ValueError("segmentation has a polygon of fewer than three points, or an odd number of coordinates")
    xy = np.concatenate(parts).reshape(-1, 2)
    return [*xy.min(0), *(xy.max(0) - xy.min(0))]


def _points(value: Any, names: tuple[str, ...]) -> Keypoints:
    flat = _numbers(value, "keypoints")
    if len(flat) % 3:
        raise ValueError(f"keypoints has {len(flat)} numbers, expected x, y, visibility for each")
    count = len(flat) // 3
    if names and len(names) != count:
        raise ValueError(f"keypoints has {count} points, but the category names {len(names)}")
    if not np.isfinite(flat).all():
        raise ValueError("keypoints are not all finite")
    return Keypoints(names or default_point_names(count), flat.reshape(count, 3))


def _numbers(value: Any, key: str) -> NDArray[np.float64]:
    if not isinstance(value, list) or not all(map(_is_number, value)):
        raise ValueError(f"{key} is {short_repr(value)}, expected a list of numbers")
    return nan_to_inf(np.array(value, dtype=np.float64))


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63)  # JSON has larger ones


def write_coco(
    path: Path, columns: Columns, sizes: Sequence[tuple[int, int]], scores: Sequence[float] | None = None
) -> None:
    """Writes boxes and key points; a picture without a box gets one around all of it.

    Ids of annotations start at 1, because COCO's evaluator takes id 0 for unmatched; images keep theirs.

    Args:
        path: the file to write.
        columns: N samples.
        sizes: width and height in pixels of the picture of each of the N samples.
        scores: the confidence of each of the N samples, in [0, 1], where they are predictions.

    Raises:
        RunError: it cannot be written.
    """
    images, annotations = dict[str, dict[str, Any]](), list[dict[str, Any]]()
    categories: dict[tuple[str, ...], dict[str, Any]] = {}
    for row, (name, (width, height)) in enumerate(zip(columns.paths, sizes, strict=True)):
        number = columns.image_ids[row] if columns.image_ids else len(images) + 1
        image = images.setdefault(name, {"id": number, "file_name": name, "width": width, "height": height})
        points = columns.keypoints[row] if columns.keypoints else None
        layout = points.names if points else ()
        category = categories.setdefault(layout, {"id": len(categories) + 1, "name": "ear", "supercategory": "ear"})
        box = [0, 0, width, height] if np.isnan(columns.boxes[row, 0]) else columns.boxes[row].tolist()
        annotation = {"id": row + 1, "image_id": image["id"], "category_id": category["id"], "iscrowd": 0}
        annotation |= {"bbox": box, "area": box[2] * box[3]}
        if points is not None:
            category |= {"keypoints": list(layout), "skeleton": []}
            annotation["num_keypoints"] = len(points.labeled())
            annotation["keypoints"] = [v for x, y, seen in points.points.tolist() for v in (x, y, int(seen))]
        if scores is not None:
            annotation["score"] = float(scores[row])
        for key, field in EXTRA.items():
            column = getattr(columns, key)
            if column and column[row]:
                annotation[field] = column[row]
        annotations.append(annotation)
    content = {
        "info": {"description": "Ears, written by ear", "version": __version__},  # pycocotools expects the key
        "licenses": [],
        "images": list(images.values()),
        "annotations": annotations,
        "categories": list(categories.values()),
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
