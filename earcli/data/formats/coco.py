"""COCO JSON: boxes and key points (cocodataset.org/#format-data)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli import __version__
from earcli.data.formats.columns import Columns, Keypoints, OnBadRow, check_size, default_point_names, nan_to_inf
from earcli.errors import ManifestError
from earcli.files import atomic_write
from earcli.untrusted.files import read_bounded, short_repr

SIZE_LIMIT = 256 << 20
MAX_VALUES = 20_000_000
EXTRA = {"subjects": "subject", "checksums": "checksum", "sources": "source"}
"""Columns that COCO lacks, and the fields of an annotation that `write_coco` puts them in."""


def read_coco(path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads COCO's detection and key-point format: one sample per annotation.

    An annotation without `bbox` but with key points has no box here. What `write_coco` adds to an annotation
    (`subject`, `checksum`, `source`) is read back.

    Raises:
        ManifestError: the file is missing, larger than 256 MiB, not JSON, or not in COCO's form.
    """
    content = _load(path)
    names = {item.get("id"): item.get("file_name") for item in content["images"] if _is_image(item)}
    layouts = _layouts(content.get("categories"))
    paths: list[str] = []
    boxes: list[Sequence[float]] = []
    keypoints: list[Keypoints | None] = []
    extra: dict[str, list[str]] = {key: [] for key in EXTRA}
    for number, item in enumerate(content["annotations"]):
        try:
            name, box, points = _annotation(item, names, layouts)
        except ValueError as error:
            on_bad_row(f"{path}, annotations[{number}]: {error}")
            continue
        paths.append(name)
        boxes.append(box)
        keypoints.append(points)
        for key, field in EXTRA.items():
            extra[key].append(str(item.get(field, "")))
    return Columns(
        paths,
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        keypoints=keypoints if any(keypoints) else None,
        **{key: column for key, column in extra.items() if any(column)},
    )


def read_backgrounds(path: Path) -> list[str]:
    """Reads the names of the pictures without an annotation, which by COCO's rules show nothing of its categories.

    Raises:
        ManifestError: as `read_coco`.
    """
    content = _load(path)
    images = [item.get("image_id") for item in content["annotations"] if isinstance(item, dict)]
    annotated = {image for image in images if isinstance(image, int | str)}
    return [item["file_name"] for item in content["images"] if _is_image(item) and item["id"] not in annotated]


def _load(path: Path) -> dict[str, Any]:
    check_size(path, SIZE_LIMIT)
    try:
        text = read_bounded(path, SIZE_LIMIT)
        if text.count(b"[") + text.count(b"{") > MAX_VALUES:
            raise ManifestError(f"{path} has more than {MAX_VALUES:,} lists and objects. Split it into several files.")
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{path}, line {error.lineno}: not JSON ({error.msg}). Fix that line.") from error
    except (ValueError, RecursionError, OSError) as error:
        raise ManifestError(f"{path} is not JSON ({type(error).__name__}: {error}). Export it again.") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in ("images", "annotations")):
        raise ManifestError(f"{path} is not in COCO's form: expected an object with lists `images` and `annotations`.")
    return content


def _is_image(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("id"), int | str) and isinstance(item.get("file_name"), str)


def _layouts(categories: Any) -> dict[Any, tuple[str, ...]]:
    """The names of the key points by category id; empty where a category has none."""
    result = {}
    for item in categories if isinstance(categories, list) else []:
        if isinstance(item, dict) and isinstance(item.get("id"), int | str):
            names = item.get("keypoints")
            result[item["id"]] = tuple(map(str, names)) if isinstance(names, list) else ()
    return result


def _annotation(
    item: Any, names: Mapping[Any, str], layouts: Mapping[Any, tuple[str, ...]]
) -> tuple[str, Sequence[float], Keypoints | None]:
    """Path, box and key points of one annotation; raises `ValueError` with what is wrong."""
    if not isinstance(item, dict):
        raise ValueError(f"{short_repr(item)} is not an object")
    image, category = item.get("image_id"), item.get("category_id")
    name = names.get(image) if isinstance(image, int | str) else None
    if not name:
        raise ValueError(f"image_id {short_repr(image)} is none of the images")
    if layouts and (not isinstance(category, int | str) or category not in layouts):
        raise ValueError(f"category_id {short_repr(category)} is none of the categories")
    points = _points(item["keypoints"], layouts.get(category, ())) if item.get("keypoints") else None
    box = item.get("bbox")
    if box is None and points is not None:
        return name, (np.nan,) * 4, points
    values = _numbers(box, "bbox")
    if len(values) != 4:
        raise ValueError(f"bbox is {short_repr(box)}, expected [x, y, width, height]")
    return name, values.tolist(), points


def _points(value: Any, layout: tuple[str, ...]) -> Keypoints:
    flat = _numbers(value, "keypoints")
    if len(flat) % 3:
        raise ValueError(f"keypoints has {len(flat)} numbers, expected x, y, visibility for each")
    count = len(flat) // 3
    if layout and len(layout) != count:
        raise ValueError(f"keypoints has {count} points, but the category names {len(layout)}")
    if not np.isfinite(flat).all():
        raise ValueError("keypoints are not all finite")
    return Keypoints(layout or default_point_names(count), flat.reshape(count, 3))


def _numbers(value: Any, key: str) -> NDArray[np.float64]:
    if not isinstance(value, list) or not all(map(_is_number, value)):
        raise ValueError(f"{key} is {short_repr(value)}, expected a list of numbers")
    return nan_to_inf(np.array(value, dtype=np.float64))


def _is_number(value: Any) -> bool:
    # JSON allows integers beyond every float
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63)


def write_coco(
    path: Path, columns: Columns, sizes: Sequence[tuple[int, int]], scores: Sequence[float] | None = None
) -> None:
    """Writes boxes and key points; a picture without a box gets one around all of it.

    Ids start at 1: COCO's evaluator takes an annotation of id 0 for unmatched.

    Args:
        path: the file to write.
        columns: N samples.
        sizes: width and height in pixels of the picture of each of the N samples.
        scores: the confidence of each of the N samples, in [0, 1], where they are predictions.

    Raises:
        RunError: it cannot be written.
    """
    images: dict[str, dict[str, Any]] = {}
    categories: dict[tuple[str, ...], dict[str, Any]] = {}
    annotations = []
    for row, (name, (width, height)) in enumerate(zip(columns.paths, sizes, strict=True)):
        image = images.setdefault(name, {"id": len(images) + 1, "file_name": name, "width": width, "height": height})
        points = columns.keypoints[row] if columns.keypoints else None
        layout = points.names if points else ()
        category = categories.setdefault(layout, {"id": len(categories) + 1, "name": "ear", "supercategory": "ear"})
        box = [0, 0, width, height] if np.isnan(columns.boxes[row, 0]) else columns.boxes[row].tolist()
        annotation = {"id": row + 1, "image_id": image["id"], "category_id": category["id"], "iscrowd": 0}
        annotation |= {"bbox": box, "area": box[2] * box[3]}
        if points is not None:
            category |= {"keypoints": list(layout), "skeleton": []}
            annotation["num_keypoints"] = len(points.labeled())
            annotation["keypoints"] = [
                v for x, y, visibility in points.points.tolist() for v in (x, y, int(visibility))
            ]
        if scores is not None:
            annotation["score"] = float(scores[row])
        for key, field in EXTRA.items():
            column = getattr(columns, key)
            if column and column[row]:
                annotation[field] = column[row]
        annotations.append(annotation)
    content = {
        "info": {"description": "Ears, written by ear", "version": __version__},  # pycocotools expects the key
        "images": list(images.values()),
        "annotations": annotations,
        "categories": list(categories.values()),
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
