"""TPS: landmarks of several pictures, as tpsDig writes them (sbmorphometrics.org)."""

from pathlib import Path

import numpy as np

from earcli.data.formats.columns import Columns, Keypoints, OnBadRow, default_point_names
from earcli.errors import ManifestError
from earcli.untrusted.files import read_bounded, short_repr

SIZE_LIMIT = 64 << 20


def read_tps(path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads blocks of `LM=K`, K lines of x and y, and `IMAGE=NAME`; y counts upward from the picture's lower edge.

    Args:
        path: The file.
        on_bad_row: Called with what is wrong with a block.

    Raises:
        ManifestError: It is no text file with such blocks.
    """
    try:
        lines = read_bounded(path, SIZE_LIMIT).decode("utf-8", "surrogateescape").splitlines()
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror}).") from error
    starts = [number for number, line in enumerate(lines) if line.strip().upper().startswith("LM")]
    if not starts:
        raise ManifestError(f"{path} has no line LM=. Export it again.")
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
    count = int(lines[0].partition("=")[2])
    fields = [line.partition("=") for line in lines if "=" in line]
    image = next((value.strip() for key, _, value in fields if key.strip().upper() == "IMAGE"), "")
    if not image:
        raise ValueError("the block names no IMAGE")
    points = []
    for line in lines[1 : count + 1]:
        values = [float(word) for word in line.split()] if "=" not in line else []
        if len(values) != 2 or not np.isfinite(values).all():
            raise ValueError(f"{short_repr(line)}, expected x and y of a landmark")
        points.append([*values, 2.0])
    if len(points) != count:
        raise ValueError(f"LM={count}, but {len(points)} landmarks follow")
    return image, Keypoints(default_point_names(count), np.array(points)) if count else None
