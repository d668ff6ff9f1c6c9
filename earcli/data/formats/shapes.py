"""From the shapes that annotation tools draw to ears: boxes, and the key points that belong to them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from earcli.data.formats.columns import Columns, Keypoints, OnBadRow, default_point_names
from earcli.errors import ManifestError
from earcli.untrusted.files import short_repr

Array = NDArray[np.float64]
Kind = Literal["box", "polygon", "point", "points"]
NO_BOX = (np.nan,) * 4
MAX_NAMES = 1000
"""Names of points in one file, which are the layout of every ear."""
FARTHEST = 1e7
"""Pixels beyond which a coordinate is a mistake."""
SLACK = 1.0
"""Pixels by which a point may lie outside the box of its ear; beyond that a box does not claim it."""


@dataclass(frozen=True)
class Shape:
    """One shape on a picture.

    Attributes:
        kind: A box or a polygon, which outline an ear; a single named point; or all points of an ear in order.
        xy: (L, 2) x and y in pixels, the first pixel's center at 0: two opposite corners of a box, else the vertices.
        label: The category of an ear, or the name of a single point.
        group: What shapes of one ear have in common; "" if the file does not say.
        names: Names of `points`; empty if the file does not name them.
        visibility: (L,) as in COCO, of points; 2 for all where it is None.
        subject: The person; "" if unknown.
    """

    kind: Kind
    xy: Array
    label: str = ""
    group: str = ""
    names: tuple[str, ...] = ()
    visibility: Sequence[int] | None = None
    subject: str = ""


@dataclass
class Picture:
    """What a file says of one picture.

    Attributes:
        name: The path as written in the file.
        where: Where in the file it is, for messages.
        size: Width and height in pixels as stated; None if the file does not say.
        shapes: In the order of the file.
        reviewed: Whether a picture without shapes is known to show no ear.
        incomplete: Whether a shape of it could not be read.
    """

    name: str
    where: str
    size: tuple[int, int] | None = None
    shapes: list[Shape] = field(default_factory=list)
    reviewed: bool = False
    incomplete: bool = False


@dataclass(eq=False)
class _Ear:
    box: Array
    label: str
    subject: str
    points: dict[str, tuple[float, float, int]] = field(default_factory=dict)


def columns_from_pictures(pictures: Iterable[Picture], on_bad_row: OnBadRow) -> Columns:
    """One sample per ear: a box, a polygon's bounding box, or points without either.

    Points belong to the box of their group; without a group, to the only box of the picture or the only one that
    contains them all. All ears get the same layout: every name in the file, in order of appearance. Points that an ear
    lacks are not labeled.

    Args:
        pictures: In the order of the file.
        on_bad_row: Called with the reason for each shape that belongs to no ear.

    Raises:
        ManifestError: There are too many names of points.
    """
    rows: list[tuple[Picture, _Ear]] = []
    unlabeled: list[str] = []
    empty: list[str] = []
    for picture in pictures:
        ears = _ears(picture, on_bad_row)
        rows += [(picture, ear) for ear in ears]
        if not ears:
            nothing = picture.reviewed and not picture.shapes and not picture.incomplete
            (empty if nothing else unlabeled).append(picture.name)
    names = tuple(dict.fromkeys(name for _, ear in rows for name in ear.points))
    if len(names) > MAX_NAMES:
        raise ManifestError(f"The points have {len(names):,} names, expected at most {MAX_NAMES}. Check the labels.")
    keypoints = [_keypoints(ear, names) for _, ear in rows]
    return Columns(
        [picture.name for picture, _ in rows],
        np.array([ear.box for _, ear in rows]).reshape(-1, 4),
        [ear.subject for _, ear in rows] if any(ear.subject for _, ear in rows) else None,
        keypoints=keypoints if any(keypoints) else None,
        categories=[ear.label for _, ear in rows],
        sizes=[picture.size for picture, _ in rows],
        unlabeled=tuple(unlabeled),
        empty=tuple(empty),
    )


def bounding_box(xy: Array) -> Array:
    """x, y, width, height around points (L, 2).

    >>> bounding_box(np.array([[1.0, 5.0], [3.0, 2.0]])).tolist()
    [1.0, 2.0, 2.0, 3.0]
    """
    low, high = xy.min(0), xy.max(0)
    return np.concatenate([low, high - low])


def _ears(picture: Picture, on_bad_row: OnBadRow) -> list[_Ear]:
    """The ears of one picture, in the order of their first shape."""
    boxed: list[_Ear] = []
    by_group: dict[str, _Ear] = {}
    for shape in picture.shapes:
        if shape.kind in ("box", "polygon"):
            ear = _Ear(bounding_box(shape.xy), shape.label, shape.subject)
            boxed.append(ear)
            if shape.group:
                by_group.setdefault(shape.group, ear)
    ears = list(boxed)
    for group, shapes in _point_sets(picture).items():
        found = by_group.get(group) if group else None
        free = [ear for ear in boxed if ear not in by_group.values()] if group else boxed
        if found is None and free:
            candidates = free if len(free) == 1 else [ear for ear in free if _contains(ear.box, shapes)]
            if len(candidates) != 1:
                on_bad_row(
                    f"{picture.where}: {sum(len(s.xy) for s in shapes)} points lie in {len(candidates)} of "
                    f"{len(free)} boxes, expected one; group the shapes of each ear"
                )
                continue
            found = candidates[0]
        label = next((shape.label for shape in shapes if shape.kind == "points"), "")
        ear = found or _Ear(np.array(NO_BOX), label, shapes[0].subject)
        if found is None:
            ears.append(ear)
        if problem := _add_points(ear, shapes):
            on_bad_row(f"{picture.where}: {problem}")
            ears = [other for other in ears if other is not ear]
    return ears


def _point_sets(picture: Picture) -> dict[str, list[Shape]]:
    """The point shapes of each ear: single points by group, and each set of points by itself where it has none."""
    sets: dict[str, list[Shape]] = {}
    for index, shape in enumerate(picture.shapes):
        if shape.kind == "point":
            sets.setdefault(shape.group, []).append(shape)
        elif shape.kind == "points":
            sets.setdefault(shape.group or f"\0{index}", []).append(shape)
    return sets


def _contains(box: Array, shapes: Sequence[Shape]) -> bool:
    xy = np.concatenate([shape.xy for shape in shapes])
    return bool(((xy >= box[:2] - SLACK) & (xy <= box[:2] + box[2:] + SLACK)).all())


def _add_points(ear: _Ear, shapes: Sequence[Shape]) -> str:
    """Adds points to an ear; returns what is wrong with them, or ""."""
    singles = [shape for shape in shapes if shape.kind == "point"]
    numbered = len(singles) > 1 and len({shape.label for shape in singles}) == 1  # all are called the same
    names: list[str] = []
    for shape in shapes:
        if shape.kind == "points":
            names += shape.names or default_point_names(len(shape.xy))
        else:
            names.append(str(len(names) + 1) if numbered or not shape.label else shape.label)
    counts = Counter(names)
    doubled = next((name for name in names if counts[name] > 1 or name in ear.points), None)
    if doubled is not None:
        return f"point {doubled!r} is there twice on one ear; group the shapes of each ear"
    ear.subject = ear.subject or next((shape.subject for shape in shapes if shape.subject), "")
    xy = np.concatenate([shape.xy for shape in shapes])
    visibility = [v for shape in shapes for v in (shape.visibility or [2] * len(shape.xy))]
    ear.points |= {name: (x, y, v) for name, (x, y), v in zip(names, xy.tolist(), visibility, strict=True)}
    return ""


def _keypoints(ear: _Ear, names: tuple[str, ...]) -> Keypoints | None:
    if not ear.points:
        return None
    return Keypoints(names, np.array([ear.points.get(name, (0.0, 0.0, 0)) for name in names], dtype=np.float64))


def bounded_float(value: Any) -> float:
    """A coordinate from a number or its text.

    Raises:
        ValueError: It is neither, not finite, or beyond any picture.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"a coordinate is {short_repr(value)}, expected a number")
    try:
        number = float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"a coordinate is {short_repr(value)}, expected a number") from error
    if not abs(number) < FARTHEST:
        raise ValueError(f"a coordinate is {short_repr(value)}, expected pixels of a picture")
    return number


def positive_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height in pixels as a file states them; None where it does not."""
    try:
        size = bounded_float(width), bounded_float(height)
    except ValueError:
        return None
    return (int(size[0]), int(size[1])) if all(v > 0 and v.is_integer() for v in size) else None
