"""dlib's imglab XML: boxes with named parts (dlib.net, imglab)."""

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from earcli.data.formats.columns import Columns, OnBadRow
from earcli.data.formats.shapes import Picture, Shape, bounded_float, columns_from_pictures, positive_size
from earcli.untrusted.files import short_repr


def is_dlib(root: Element) -> bool:
    """Whether XML is a dataset of imglab."""
    return root.tag == "dataset" and root.find("images") is not None


def read_dlib(root: Element, path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads boxes and their parts, which are the key points.

    Args:
        root: The parsed file.
        path: The file, for messages.
        on_bad_row: Called with what is wrong with a box.
    """
    pictures = []
    for item in root.iter("image"):
        name = item.get("file", "")
        where = f"{path}, image {short_repr(name)}"
        if not name:
            on_bad_row(f"{where}: it has no file, expected the picture's path")
            continue
        picture = Picture(name, where, positive_size(item.get("width"), item.get("height")))
        for number, box in enumerate(item.iter("box")):
            try:
                picture.shapes += _ear(box, str(number + 1))
            except ValueError as error:
                on_bad_row(f"{where}, box {number}: {error}")
                picture.incomplete = True
        pictures.append(picture)
    return columns_from_pictures(pictures, on_bad_row)


def _ear(item: Element, group: str) -> list[Shape]:
    if item.get("ignore") in ("1", "true"):
        raise ValueError("it is marked ignore")
    label = (item.findtext("label") or "").strip()
    left, top, width, height = (bounded_float(item.get(key)) for key in ("left", "top", "width", "height"))
    if width < 0 or height < 0:
        raise ValueError(f"width and height are {width} and {height}, expected positive numbers")
    shapes = [Shape("box", np.array([[left, top], [left + width, top + height]]), label, group)]
    for part in item.iter("part"):
        xy = np.array([[bounded_float(part.get("x")), bounded_float(part.get("y"))]])
        shapes.append(Shape("point", xy, part.get("name", ""), group))
    return shapes
