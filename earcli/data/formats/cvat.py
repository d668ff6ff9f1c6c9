"""CVAT for images 1.1: the XML that CVAT exports and imports (docs.cvat.ai, XML annotation format)."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.columns import Columns, OnBadRow
from earcli.data.formats.ears import Ear, ears_by_picture
from earcli.data.formats.shapes import Picture, Shape, bounded_float, columns_from_pictures, positive_size
from earcli.errors import ManifestError, RunError
from earcli.files import atomic_write
from earcli.untrusted.files import short_repr

NOT_SHAPES = ("tag", "attribute")
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


def is_cvat(root: Element) -> bool:
    """Whether XML is an export of CVAT."""
    return root.tag == "annotations"


def read_cvat(root: Element, path: Path, on_bad_row: OnBadRow) -> Columns:
    """Reads boxes, polygons, points and skeletons.

    CVAT's coordinates are continuous and start at the picture's left and upper edges. They are kept as they are, those
    of points too. Shapes with one `group_id` other than 0 are one ear. A point that is `occluded` is hidden, one that
    is `outside` is not labeled. CVAT does not say whether somebody looked at a picture without shapes.

    Args:
        root: The parsed file.
        path: The file, for messages.
        on_bad_row: Called with what is wrong with a shape.

    Raises:
        ManifestError: It is an export of a video.
    """
    if root.find("track") is not None:
        raise ManifestError(f"{path} is CVAT's format for video. Export it as CVAT for images.")
    pictures = []
    for number, item in enumerate(root.findall("image")):
        if item.get("name"):
            pictures.append(_picture(item, path, on_bad_row))
        else:
            on_bad_row(f"{path}, image {number}: it has no name, expected that of a picture")
    return columns_from_pictures(pictures, on_bad_row)


def _picture(item: Element, path: Path, on_bad_row: OnBadRow) -> Picture:
    name = item.get("name", "")
    where = f"{path}, image {short_repr(name)}"
    size = positive_size(item.get("width"), item.get("height"))
    picture = Picture(name, where, size)
    for child in item:
        if child.tag in NOT_SHAPES:
            continue
        try:
            picture.shapes.append(_shape(child))
        except ValueError as error:
            on_bad_row(f"{where}, {child.tag}: {error}")
            picture.incomplete = True
    return picture


def _shape(item: Element) -> Shape:
    label, group = item.get("label", ""), item.get("group_id", "0")
    group = "" if group == "0" else group
    subject = next((a.text or "" for a in item.iter("attribute") if a.get("name") == "subject"), "")
    if item.tag == "box":
        if bounded_float(item.get("rotation") or 0):
            raise ValueError("the box is rotated, expected an upright one")
        corners = [bounded_float(item.get(key)) for key in ("xtl", "ytl", "xbr", "ybr")]
        return Shape("box", np.array(corners).reshape(2, 2), label, group, subject=subject)
    if item.tag == "polygon":
        xy = _points(item)
        if len(xy) < 3:
            raise ValueError(f"{len(xy)} points, expected three or more")
        return Shape("polygon", xy, label, group, subject=subject)
    if item.tag == "points":
        xy = _points(item)
        visibility = _visibility([item] * len(xy))
        return Shape("point" if len(xy) == 1 else "points", xy, label, group, (), visibility, subject)
    if item.tag == "skeleton":
        return _skeleton(item, label, group, subject)
    raise ValueError("a shape of this kind is not an ear, expected box, polygon, points or skeleton")


def _skeleton(item: Element, label: str, group: str, subject: str) -> Shape:
    parts = [part for part in item if part.tag != "attribute"]
    other = next((part.tag for part in parts if part.tag != "points"), None)
    if other is not None:
        raise ValueError(f"it holds {short_repr(other)}, expected points")
    visibility = _visibility(parts)
    if not any(visibility):
        raise ValueError("no point of it is inside the picture, expected one or more")
    places = [_points(part) for part in parts]
    if any(len(xy) != 1 for xy in places):
        raise ValueError(f"a part of it has {max(map(len, places))} points, expected one")
    names = tuple(part.get("label", "") for part in parts)
    return Shape("points", np.concatenate(places), label, group, names, visibility, subject)


def _points(item: Element) -> NDArray[np.float64]:
    pairs = [pair.split(",") for pair in item.get("points", "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"points is {short_repr(item.get('points', ''))}, expected x,y;x,y")
    return np.array([[bounded_float(value) for value in pair] for pair in pairs])


def _visibility(items: Sequence[Element]) -> list[int]:
    return [0 if item.get("outside") == "1" else 1 if item.get("occluded") == "1" else 2 for item in items]


def write_cvat(
    path: Path, columns: Columns, sizes: Sequence[tuple[int, int]], scores: Sequence[float] | None = None
) -> None:
    """Writes a box for each ear and a skeleton in the same group for its points.

    Beside labeled points, those that are not labeled are written as `outside`, which keeps the names and their order.
    The format has no place for scores.

    Args:
        path: The file to write.
        columns: N samples.
        sizes: Width and height in pixels of the picture of each.
        scores: Ignored.

    Raises:
        RunError: It cannot be written, or a name has a character that XML cannot hold.
    """
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    for number, (name, size, ears) in enumerate(ears_by_picture(columns, sizes)):
        _check_text(name, *(text for ear in ears for text in (ear.subject, *(point[0] for point in ear.points))))
        attributes = {"id": str(number), "name": name, "width": str(size[0]), "height": str(size[1])}
        image = ElementTree.SubElement(root, "image", attributes)
        for group, ear in enumerate(ears, 1):
            _add_ear(image, ear, str(group))
    ElementTree.indent(root)
    with atomic_write(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def _check_text(*texts: str) -> None:
    for text in texts:
        if NOT_XML.search(text):
            raise RunError(f"{short_repr(text)} has a character that XML cannot hold. Rename it, or write COCO JSON.")


def _add_ear(image: Element, ear: Ear, group: str) -> None:
    common = {"label": "ear", "source": "auto", "occluded": "0", "z_order": "0", "group_id": group}
    left, top, width, height = ear.box
    corners = zip(("xtl", "ytl", "xbr", "ybr"), (left, top, left + width, top + height), strict=True)
    box = ElementTree.SubElement(image, "box", common | {key: repr(value) for key, value in corners})
    if ear.subject:
        ElementTree.SubElement(box, "attribute", {"name": "subject"}).text = ear.subject
    if any(visibility for *_, visibility in ear.points):
        skeleton = ElementTree.SubElement(image, "skeleton", common)
        for point_name, x, y, visibility in ear.points:
            state = {"outside": str(int(visibility == 0)), "occluded": str(int(visibility == 1))}
            ElementTree.SubElement(skeleton, "points", {"label": point_name, "points": f"{x!r},{y!r}"} | state)
