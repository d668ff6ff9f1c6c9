"""TPS: landmarks of several pictures, as tpsDig writes them (sbmorphometrics.org)."""

from pathlib import Path

import numpy as np

from earcli.data.formats.columns import Columns, Keypoints, OnBadRow, default_point_names
from earcli.data.formats.shapes import bounded_float
from earcli.errors import ManifestError
from earcli.untrusted.files import read_bounded, short_repr

SIZE_LIMIT = 64 << 20


def read_tps(path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads blocks of `LM=K`, K lines of x and y, and `IMAGE=NAME`; y counts upward from the picture's lower edge.

    A landmark of `NA NA` or `-1 -1` is missing, as in geomorph and tpsDig. Curves and outlines are ignored.

    Args:
        path: The file.
        on_bad_row: Called with what is wrong with a block.

    Raises:
        ManifestError: It is no text file with such blocks.
    """
    try:
        lines = read_bounded(path, SIZE_LIMIT).decode("utf-8-sig", "surrogateescape").splitlines()
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror}).") from error
    starts = [number for number, line in enumerate(lines) if line.strip().upper().startswith("LM")]
    if not starts:
        raise ManifestError(f"{path} has no line LM=. Export it again.")
    if any(line.strip() for line in lines[: starts[0]]):
        on_bad_row(f"{path}, line 1: {short_repr(lines[0])}, expected LM=")
    names: list[str] = []
    keypoints: list[Keypoints | None] = []
    unlabeled = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        try:
            name, points = _block(lines[start:end])
        except ValueError as error:
            on_bad_row(f"{path}, line {start + 1}: {error}")
            continue
        if points is None:
            unlabeled.append(name)
        else:
            names.append(name)
            keypoints.append(points)
    boxes = np.full((len(names), 4), np.nan)
    return Columns(names, boxes, keypoints=keypoints, unlabeled=tuple(unlabeled), from_bottom=True)


def _block(lines: list[str]) -> tuple[str, Keypoints | None]:
    """The picture and the landmarks of one block; raises `ValueError` with what is wrong."""
    key, _, text = lines[0].partition("=")
    if key.strip().upper() != "LM" or not text.strip().isdecimal():
        raise ValueError(f"{short_repr(lines[0])}, expected LM= and the number of landmarks")
    count = int(text)
    points = [_landmark(line) for line in lines[1 : count + 1]]
    if len(points) != count:
        raise ValueError(f"LM={count}, but {len(points)} landmarks follow")
    images, has_curves = _fields(lines[count + 1 :])
    if len(images) != 1:
        raise ValueError(f"the block names {len(images) or 'no'} IMAGE, expected one")
    if not count and has_curves:
        raise ValueError("the block has curves alone, expected landmarks")
    labeled = any(visibility for _, _, visibility in points)
    return images[0], Keypoints(default_point_names(count), np.array(points)) if labeled else None


def _landmark(line: str) -> tuple[float, float, float]:
    words = line.split()
    if len(words) != 2:
        raise ValueError(f"{short_repr(line)}, expected x and y of a landmark")
    if [word.upper() for word in words] == ["NA", "NA"]:
        return 0.0, 0.0, 0.0
    x, y = map(bounded_float, words)
    return (0.0, 0.0, 0.0) if x == y == -1 else (x, y, 2.0)


def _fields(lines: list[str]) -> tuple[list[str], bool]:
    """The values of IMAGE, and whether there are curves or outlines, after the landmarks of a block."""
    images, has_curves, expected = [], False, 0
    for line in lines:
        key, equals, value = line.partition("=")
        key, value = key.strip().upper(), value.strip()
        if expected and not equals:
            expected -= 1
        elif key == "POINTS" and value.isdecimal():
            has_curves, expected = True, int(value)
        elif key == "IMAGE" and value:
            images.append(value)
        elif not equals and key:
            raise ValueError(f"{short_repr(line)} is one line too many, expected KEY=VALUE")
    return images, has_curves
