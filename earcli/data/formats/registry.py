"""The formats of annotation files, recognized by their content."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from earcli.data.formats.coco import is_coco, read_coco
from earcli.data.formats.columns import Columns, OnBadRow, check_size
from earcli.data.formats.cvat import is_cvat, read_cvat
from earcli.data.formats.dlib import is_dlib, read_dlib
from earcli.data.formats.label_studio import is_label_studio, read_label_studio
from earcli.data.formats.labelme import is_labelme, read_labelme
from earcli.data.formats.npy import read_npy
from earcli.data.formats.pts import read_pts
from earcli.data.formats.table import read_table
from earcli.data.formats.tps import read_tps
from earcli.data.formats.via import is_via, read_via
from earcli.data.formats.voc import is_voc, read_voc
from earcli.errors import ManifestError, UnknownFormatError
from earcli.untrusted.markup import read_json, read_xml

SIZE_LIMIT = 256 << 20


class Format(NamedTuple):
    """A format of JSON or XML files."""

    name: str
    matches: Callable[[Any], bool]
    read: Callable[[Any, Path, OnBadRow], Columns]


JSON_FORMATS = (
    Format("COCO", is_coco, read_coco),
    Format("Label Studio", is_label_studio, read_label_studio),
    Format("LabelMe", is_labelme, read_labelme),
    Format("VIA", is_via, read_via),
)
XML_FORMATS = (
    Format("CVAT for images", is_cvat, read_cvat),
    Format("Pascal VOC", is_voc, read_voc),
    Format("dlib", is_dlib, read_dlib),
)
SUFFIXES = (".npy", ".csv", ".tsv", ".json", ".xml", ".tps", ".pts")
"""The file suffixes of annotation files, in lower case. YOLO's `.txt` files need a `data.yaml` beside them."""
PER_PICTURE = ("LabelMe", "Pascal VOC", "PTS")
"""Formats with one file for each picture."""


def read_columns(path: Path, on_bad_row: OnBadRow) -> tuple[str, Columns]:
    """Reads an annotation file of any format but YOLO.

    Args:
        path: The file, with one of `SUFFIXES`.
        on_bad_row: Called with the reason for each row that cannot be used.

    Returns:
        The name of the format, and the content.

    Raises:
        UnknownFormatError: It is in none of the formats.
        ManifestError: The file as a whole cannot be used.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ManifestError(f"{path} is not an annotation file by its name, expected one of {', '.join(SUFFIXES)}.")
    check_size(path, 1 << 30)
    if kind == ".npy":
        return "NumPy", read_npy(path, on_bad_row)
    if kind in (".csv", ".tsv"):
        return "CSV", read_table(path, on_bad_row)
    if kind == ".tps":
        return "TPS", read_tps(path, on_bad_row)
    if kind == ".pts":
        points = read_pts(path)
        return "PTS", Columns([path.stem], np.full((1, 4), np.nan), keypoints=[points], from_one=True)
    content, formats = (
        (read_json(path, SIZE_LIMIT), JSON_FORMATS) if kind == ".json" else (read_xml(path, SIZE_LIMIT), XML_FORMATS)
    )
    for item in formats:
        if item.matches(content):
            return item.name, item.read(content, path, on_bad_row)
    names = ", ".join(item.name for item in formats)
    raise UnknownFormatError(f"{path} is in no format of annotations that ear reads, expected {names}.")
