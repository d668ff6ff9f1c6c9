"""YOLO: a text file of labels for each picture, and a `data.yaml` (docs.ultralytics.com/datasets)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from earcli.data.formats.columns import Columns, Keypoints, OnBadRow, default_point_names
from earcli.data.formats.ears import Ear, ears_by_picture, files_of_pictures
from earcli.data.formats.shapes import bounded_float, bounding_box
from earcli.errors import ManifestError
from earcli.files import atomic_write
from earcli.untrusted.files import read_bounded, short_repr

SIZE_LIMIT = 16 << 20
TOLERANCE = 0.01
"""Fraction of the picture by which a coordinate may lie outside."""


@dataclass(frozen=True)
class YoloSet:
    """What `data.yaml` says.

    Attributes:
        names: The names of the classes.
        kpt_shape: The number of key points, and 2 or 3 numbers for each; None where there are none.
    """

    names: dict[int, str]
    kpt_shape: tuple[int, int] | None


def read_data_yaml(path: Path) -> YoloSet:
    """Reads the names of classes and the shape of key points.

    Raises:
        ManifestError: It is not a `data.yaml` of a YOLO set.
    """
    try:
        content = yaml.safe_load(read_bounded(path))
    except (yaml.YAMLError, OSError, ValueError, RecursionError, LookupError, AttributeError, TypeError) as error:
        # PyYAML raises the last three for tags such as `!!int ""`
        raise ManifestError(f"{path} is not YAML ({type(error).__name__}). Export it again.") from error
    names: Any = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    # aliases can make the text of a nested value exponentially long
    if not isinstance(names, dict) or not all(
        _is_int(k) and isinstance(v, str | int | float) for k, v in names.items()
    ):
        raise ManifestError(f"{path} is no data.yaml of a YOLO set, expected names.")
    shape = content.get("kpt_shape")
    if shape is not None and not (
        isinstance(shape, list) and len(shape) == 2 and all(map(_is_int, shape)) and shape[0] > 0 and shape[1] in (2, 3)
    ):
        raise ManifestError(f"{path} has the kpt_shape {short_repr(shape)}, expected [points, 2 or 3]. Fix that line.")
    try:
        return YoloSet({key: str(name) for key, name in names.items()}, tuple(shape) if shape else None)
    except ValueError as error:  # an integer of thousands of digits
        raise ManifestError(f"{path} has a name that is a large number, expected text. Fix names.") from error


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31


def read_yolo(path: Path, described: YoloSet, on_bad_row: OnBadRow) -> Columns:
    """Reads the labels of one picture, in fractions of its width and height; an empty file says that it shows no ear.

    A line is the class and a box (center, width, height), the same and key points, or a polygon.

    Args:
        path: The text file; its stem is the picture's name.
        described: What `data.yaml` says.
        on_bad_row: Called with what is wrong with a line.

    Raises:
        ManifestError: It is no text file of up to 16 MiB.
    """
    try:
        lines = read_bounded(path, SIZE_LIMIT).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error
    boxes, keypoints, categories = [], [], []
    written = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    for number, words in written:
        try:
            box, points = _line(words, described.kpt_shape)
            name = described.names.get(int(words[0]), str(int(words[0])))
        except ValueError as error:
            on_bad_row(f"{path}, line {number}: {error}")
            continue
        boxes.append(box)
        keypoints.append(points)
        categories.append(name)
    return Columns(
        [path.stem] * len(boxes),
        np.array(boxes).reshape(-1, 4),
        keypoints=keypoints if any(keypoints) else None,
        categories=categories,
        unlabeled=(path.stem,) if written and not boxes else (),
        empty=() if written else (path.stem,),
        fractions=True,
    )


def _line(words: Sequence[str], kpt_shape: tuple[int, int] | None) -> tuple[list[float], Keypoints | None]:
    """The box and the key points of one line; raises `ValueError` with what is wrong."""
    values = np.array([bounded_float(word) for word in words[1:]])
    is_polygon = kpt_shape is None and len(values) >= 6 and len(values) % 2 == 0
    count = 0 if kpt_shape is None else kpt_shape[0] * kpt_shape[1]
    if not is_polygon and len(values) not in (4, 4 + count):
        raise ValueError(f"{len(words)} numbers, expected a class and 4" + (f" or {4 + count}" if count else ""))
    fractions = values if is_polygon else values[:4]
    if (fractions < -TOLERANCE).any() or (fractions > 1 + TOLERANCE).any():
        raise ValueError(f"{short_repr(' '.join(words))}, expected fractions of the picture")
    if is_polygon:
        return bounding_box(values.reshape(-1, 2)).tolist(), None
    if (values[2:4] < 0).any():
        raise ValueError(f"{short_repr(' '.join(words))}, expected a positive width and height")
    box = [*(values[:2] - values[2:4] / 2), *values[2:4]]
    return box, None if kpt_shape is None or len(values) == 4 else _points(values[4:].reshape(kpt_shape))


def _points(points: NDArray[np.float64]) -> Keypoints | None:
    """Key points from (K, 2) or (K, 3) fractions; None if none is labeled."""
    if points.shape[1] == 2:
        points = np.concatenate([points, np.where(points.any(1), 2.0, 0.0)[:, None]], 1)
    if not np.isin(points[:, 2], (0, 1, 2)).all():
        raise ValueError(f"a visibility is {points[~np.isin(points[:, 2], (0, 1, 2)), 2][0]}, expected 0, 1 or 2")
    result = Keypoints(default_point_names(len(points)), points)
    labeled = result.labeled()
    if (np.abs(labeled - 0.5) > 1.5).any():  # a point may lie outside the picture, but not far
        raise ValueError(f"a point is {labeled[(np.abs(labeled - 0.5) > 1.5).any(1)][0].tolist()}, expected fractions")
    return result if len(labeled) else None


def write_yolo(
    folder: Path, columns: Columns, sizes: Sequence[tuple[int, int]], scores: Sequence[float] | None = None
) -> None:
    """Writes `labels/NAME.txt` for each picture, and `data.yaml`.

    Args:
        folder: Where to write; subfolders of `labels` are those of the pictures, without "..".
        columns: N samples.
        sizes: Width and height in pixels of the picture of each.
        scores: Ignored: the format of labels has no place for them.

    Raises:
        RunError: A file cannot be written, or two pictures would share one; nothing is written in the second case.
    """
    pictures = ears_by_picture(columns, sizes)
    layout = tuple(dict.fromkeys(name for item in columns.keypoints or () if item is not None for name in item.names))
    files = files_of_pictures(folder / "labels", [name for name, _, _ in pictures], ".txt")
    for file, (_, size, ears) in zip(files, pictures, strict=True):
        with atomic_write(file) as temporary:
            temporary.write_text("".join(_text(ear, size, layout) + "\n" for ear in ears), encoding="utf-8")
    content: dict[str, Any] = {"path": ".", "train": "images", "val": "images", "names": {0: "ear"}}
    if layout:
        content["kpt_shape"] = [len(layout), 3]
    with atomic_write(folder / "data.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(content), encoding="utf-8")


def _text(ear: Ear, size: tuple[int, int], layout: tuple[str, ...]) -> str:
    """The line of an ear, with the key points in the order of `layout`."""
    width, height = float(size[0]), float(size[1])
    left, top, box_width, box_height = ear.box
    values = [(left + box_width / 2) / width, (top + box_height / 2) / height, box_width / width, box_height / height]
    points = {name: (x / width, y / height, visibility) for name, x, y, visibility in ear.points if visibility}
    for name in layout:
        values += points.get(name, (0, 0, 0))
    return " ".join(["0", *(f"{value!r}" for value in values)])
