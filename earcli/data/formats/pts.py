"""PTS: the key points of one picture, the format of the ear and face sets of the iBUG group."""

from pathlib import Path

import numpy as np

from earcli.data.formats.columns import Keypoints, check_size, default_point_names
from earcli.errors import ManifestError
from earcli.untrusted.files import read_bounded, short_repr

SIZE_LIMIT = 1 << 20


def read_pts(path: Path) -> Keypoints:
    """Reads `version: 1`, `n_points: K`, and K lines of x and y in braces.

    PTS counts pixels from 1, as its tools do (menpo's importer subtracts 1 as well); the points returned count from 0.

    Raises:
        ManifestError: the file is missing, larger than 1 MiB, or malformed; the message names the line.
    """
    check_size(path, SIZE_LIMIT)
    try:
        lines = read_bounded(path, SIZE_LIMIT).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} is not a PTS file ({type(error).__name__}: {error}).") from error
    points: list[list[float]] = []
    expected, inside, closed = None, False, False
    for number, line in enumerate(map(str.strip, lines), 1):
        try:
            if not inside and line.startswith("n_points:"):
                expected = int(line.removeprefix("n_points:"))
            elif line == "{":
                inside = True
            elif line == "}":
                closed = True
                break
            elif inside and line:
                x, y = map(float, line.split())
                points.append([x - 1, y - 1, 2])
        except ValueError as error:
            raise ManifestError(f"{path}, line {number}: {short_repr(line)}, expected x and y of a point.") from error
    if not points or not closed:
        raise ManifestError(f"{path}, line {len(lines)}: no points in braces, expected {{, one line per point, }}.")
    if expected is not None and expected != len(points):
        raise ManifestError(f"{path} says n_points: {expected}, but has {len(points)}. Export it again.")
    array = np.array(points)
    if not np.isfinite(array).all():
        raise ManifestError(f"{path} has points that are not finite. Export it again.")
    return Keypoints(default_point_names(len(points)), array)
