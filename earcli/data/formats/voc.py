"""Pascal VOC: XML with boxes, one file for each picture, as LabelImg, CVAT and Roboflow write it."""

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from earcli.data.formats.columns import Columns, OnBadRow
from earcli.data.formats.shapes import Picture, Shape, bounded_float, columns_from_pictures, positive_size
from earcli.untrusted.files import short_repr


def is_voc(root: Element) -> bool:
    """Whether XML is an annotation in Pascal VOC's form."""
    return root.tag == "annotation"


def read_voc(root: Element, path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads the boxes of one picture; a file without an object says that it shows no ear.

    Corners are kept as they are written: VOC itself counts pixels from 1, but LabelImg, CVAT and Roboflow write
    continuous coordinates from 0. An object with a polygon needs its `bndbox` as well.

    Args:
        root: The parsed file.
        path: The file; its stem is the picture's name where the file has none.
        on_bad_row: Called with what is wrong with an object.
    """
    name = (root.findtext("filename") or "").strip() or path.stem
    size = positive_size(root.findtext("size/width"), root.findtext("size/height"))
    picture = Picture(name, str(path), size, reviewed=True)
    for number, item in enumerate(root.findall("object")):
        label = (item.findtext("name") or "").strip()
        try:
            corners = _corners(item)
        except ValueError as error:
            on_bad_row(f"{path}, object {number} ({short_repr(label)}): {error}")
            picture.incomplete = True
            continue
        picture.shapes.append(Shape("box", np.array(corners).reshape(2, 2), label))
    return columns_from_pictures([picture], on_bad_row)


def _corners(item: Element) -> list[float]:
    """xmin, ymin, xmax, ymax of an object."""
    boxes = item.findall("bndbox")
    if len(boxes) != 1:
        raise ValueError(f"{len(boxes)} bndbox, expected one")
    return [bounded_float(boxes[0].findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax")]
