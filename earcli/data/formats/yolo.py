"""YOLO: a text file of labels for each picture, and a `data.yaml` (docs.ultralytics.com/datasets)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from earcli.data.formats.columns import Columns, Keypoints, OnBadRow, default_point_names
from earcli.data.formats.ears import Ear, ears_by_picture, files_of_pictures
from earcli.data.formats.shapes import bounded_float, bounding_box
from earcli.errors import ManifestError
from earcli.files import atomic_write
from earcli.untrusted.files import read_bounded, short_repr

SIZE_LIMIT = 16 << 20


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
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{path} is not YAML ({type(error).__name__}). Export it again.") from error
    names: Any = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(isinstance(key, int) for key in names):
        raise ManifestError(f"{path} is no data.yaml of a YOLO set, expected names.")
    shape = content.get("kpt_shape")
    valid = (
        isinstance(shape, list) and len(shape) == 2 and all(isinstance(v, int) for v in shape) and shape[1] in (2, 3)
    )
    return YoloSet({key: str(name) for key, name in names.items()}, (shape[0], shape[1]) if valid else None)


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
        lines = read_bounded(path, SIZE_LIMIT).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error
    boxes, keypoints, categories = [], [], []
    written = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    for number, words in written:
        try:
            box, points = _line(words, described.kpt_shape)
            name = described.names.get(int(words[0]), words[0] if described.names else "")
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
    values = np.array([bounded_float(word) for word in words[1:]])
    if (values[:4] < -0.01).any() or (values[:4] > 1.01).any():
        raise ValueError(f"{short_repr(' '.join(words))}, expected fractions of the picture")
    if kpt_shape is None and len(values) >= 6 and len(values) % 2 == 0:
        return bounding_box(values.reshape(-1, 2)).tolist(), None
    count = 0 if kpt_shape is None else kpt_shape[0] * kpt_shape[1]
    if len(values) not in (4, 4 + count):
        raise ValueError(f"{len(words)} numbers, expected a class and 4" + (f" or {4 + count}" if count else ""))
    box = [*(values[:2] - values[2:4] / 2), *values[2:4]]
    if len(values) == 4 or kpt_shape is None:
        return box, None
    points = values[4:].reshape(kpt_shape)
    if kpt_shape[1] == 2:
        points = np.concatenate([points, np.where(points.any(1), 2.0, 0.0)[:, None]], 1)
    return box, Keypoints(default_point_names(len(points)), points)


def write_yolo(
    folder: Path, columns: Columns, sizes: Sequence[tuple[int, int]], scores: Sequence[float] | None = None
) -> None:
    """Writes `labels/NAME.txt` for each picture, and `data.yaml`.

    Args:
        folder: Where to write.
        columns: N samples with relative paths.
        sizes: Width and height in pixels of the picture of each.
        scores: Ignored: the format of labels has no place for them.

    Raises:
        RunError: A file cannot be written, or two pictures would share one.
    """
    count = max((len(item.names) for item in columns.keypoints or () if item is not None), default=0)
    pictures = ears_by_picture(columns, sizes)
    files = files_of_pictures(folder / "labels", [name for name, _, _ in pictures], ".txt")
    for file, (_, size, ears) in zip(files, pictures, strict=True):
        with atomic_write(file) as temporary:
            temporary.write_text("".join(_text(ear, size, count) + "\n" for ear in ears), encoding="utf-8")
    content: Mapping[str, Any] = {"path": ".", "train": "images", "val": "images", "names": {0: "ear"}}
    with atomic_write(folder / "data.yaml") as temporary:
        text = yaml.safe_dump({**content, **({"kpt_shape": [count, 3]} if count else {})})
        temporary.write_text(text, encoding="utf-8")


def _text(ear: Ear, size: tuple[int, int], count: int) -> str:
    left, top, width, height = ear.box
    values = [(left + width / 2) / size[0], (top + height / 2) / size[1], width / size[0], height / size[1]]
    for _, x, y, visibility in ear.points or [("", 0.0, 0.0, 0)] * count:
        values += [x / size[0], y / size[1], visibility] if visibility else [0, 0, 0]
    return " ".join(["0", *(f"{value!r}" for value in values)])
