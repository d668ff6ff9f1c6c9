"""Labeled pictures: one ear each, with a box and points, or none."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earcli.data.cache import Skipped
from earcli.data.formats.coco import read_backgrounds
from earcli.data.formats.columns import Keypoints, default_point_names
from earcli.data.formats.pts import read_pts_folder
from earcli.data.images import BadPictureError, picture_size, pixel_box
from earcli.data.inputs import collect_pictures
from earcli.data.manifest import Manifest, as_manifest, path_problem, read_manifest
from earcli.errors import DataError

MOST_SKIPPED = 0.2
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """N pictures.

    Attributes:
        manifest: a box of NaN where there is no ear.
        sizes: (N, 2) width and height of the upright pictures, in pixels.
        points: (N, K, 3) x, y in pixels of the upright picture, the first pixel's center at 0, and COCO's visibility: 0
            not labeled, 1 hidden, 2 visible.
        names: K names of the points.
        skipped: what cannot be used, and why.
    """

    manifest: Manifest
    sizes: NDArray[np.int64]
    points: Array
    names: tuple[str, ...]
    skipped: list[Skipped]

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def has_ear(self) -> NDArray[np.bool_]:
        """(N,)"""
        return ~np.isnan(self.manifest.boxes[:, 0])

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> "Labels":
        """The pictures at `indices`, in that order."""
        rows = np.asarray(indices)
        chosen = self.manifest.subset(rows), self.sizes[rows], self.points[rows]
        return Labels(*chosen, self.names, self.skipped)

    def alone(self) -> "Labels":
        """Without the pictures that show several labeled ears, of which a whole picture could teach only one."""
        ears = Counter(self.manifest.paths)
        several = [Skipped(-1, path, f"{count} ears on one picture") for path, count in ears.items() if count > 1]
        rows = [row for row, path in enumerate(self.manifest.paths) if ears[path] == 1]
        if not rows:
            raise DataError("Every picture has several labeled ears, and --view picture knows one. Give --view crop.")
        return replace(self.subset(rows), skipped=[*self.skipped, *several])

    @classmethod
    def joined(cls, parts: Sequence["Labels"]) -> "Labels":
        """All of several sets, whose points must have the same names.

        Raises:
            DataError: they have not.
        """
        if len({part.names for part in parts}) > 1:
            counts = " and ".join(str(len(part.names)) for part in parts)
            raise DataError(f"The sets have {counts} points, or other names for them. Give labels of one kind.")
        paths = [str(part.manifest.locate(row).absolute()) for part in parts for row in range(len(part))]
        known = [part.manifest.subjects or [""] * len(part) for part in parts]
        boxes = np.concatenate([part.manifest.boxes for part in parts])
        return cls(
            Manifest(paths, boxes, [name for names in known for name in names], root=Path("/")),
            np.concatenate([part.sizes for part in parts]),
            np.concatenate([part.points for part in parts]),
            parts[0].names,
            [item for part in parts for item in part.skipped],
        )

    def limit(self, count: int | None, seed: int) -> "Labels":
        """So many pictures with an ear, drawn by `seed`, and every one without; all for None."""
        ears = np.flatnonzero(self.has_ear)
        if count is None or count >= len(ears):
            return self
        drawn = np.random.default_rng(seed).permutation(ears)[:count]
        return self.subset(np.sort(np.concatenate([drawn, np.flatnonzero(~self.has_ear)])))


def read_labels(
    path: Path, root: Path | None = None, landmarks: int | None = None, backgrounds: Path | None = None
) -> Labels:
    """Reads labels of any kind: COCO JSON, CSV, `.npy`, or a folder of pictures with `.pts`.

    Items that cannot be used are left out and noted. An ear without a box gets the one around its points; one without
    points teaches its box alone. COCO's pictures without an annotation show no ear.

    Args:
        root: folder that relative paths start from.
        landmarks: K; by default as many points as most ears have.
        backgrounds: a folder of further pictures without an ear.

    Raises:
        ManifestError: the file as a whole cannot be used.
        DataError: nothing can be used, or more than a fifth cannot.
    """
    skipped: list[Skipped] = []

    def refuse(message: str) -> None:
        skipped.append(Skipped(-1, str(path), message))

    manifest = as_manifest(read_pts_folder(path, refuse), path) if path.is_dir() else read_manifest(path, root, refuse)
    found = manifest.keypoints or [None] * len(manifest)
    names = _layout(found, landmarks)
    chosen, boxes, points, sizes = [], [], [], []
    for row, keypoints in enumerate(found):
        try:
            size = picture_size(manifest.locate(row))
            box, xyv = _check(manifest.boxes[row], keypoints, names, size)
        except BadPictureError as error:
            skipped.append(Skipped(row, manifest.paths[row], str(error)))
            continue
        chosen.append(row)
        boxes.append(box)
        points.append(xyv)
        sizes.append(size)
    total = len(manifest) + sum(item.index < 0 for item in skipped)
    if not chosen or len(skipped) > MOST_SKIPPED * total:
        examples = "; ".join(f"{item.path}: {item.reason}" for item in skipped[:3])
        raise DataError(
            f"{len(skipped)} of {total} labels of {path} cannot be used (at most {MOST_SKIPPED:.0%} may be skipped): "
            f"{examples}. Mend them, or give --landmarks or --root-dir."
        )
    kept = replace(manifest.subset(chosen), boxes=np.array(boxes).reshape(-1, 4), keypoints=None)
    labels = Labels(kept, np.array(sizes), np.array(points).reshape(len(chosen), len(names), 3), names, skipped)
    return _with_backgrounds(labels, _backgrounds(path, kept.root, backgrounds))


def _layout(found: Sequence[Keypoints | None], landmarks: int | None) -> tuple[str, ...]:
    """The names of the points that most ears have."""
    layouts = Counter(k.names for k in found if k is not None and landmarks in (None, len(k.names)))
    if layouts:
        return layouts.most_common(1)[0][0]
    return default_point_names(landmarks or 0)


def _check(
    box: Array, keypoints: Keypoints | None, names: tuple[str, ...], size: tuple[int, int]
) -> tuple[Array, Array]:
    """A box that can be cropped, and points (K, 3); raises `BadPictureError` with what is wrong."""
    points = np.zeros((len(names), 3))
    if keypoints is not None and names:
        if len(keypoints.names) != len(names):
            raise BadPictureError(f"{len(keypoints.names)} points, wanted {len(names)}", "points-count")
        if keypoints.names != names and default_point_names(len(names)) not in (keypoints.names, names):
            other = next(a for a, b in zip(keypoints.names, names, strict=True) if a != b)
            raise BadPictureError(f"point {other!r} is none of the others' in that place", "points-names")
        points = keypoints.points.copy()
        xy = keypoints.labeled()
        outside = ((xy < -1) | (xy > size)).any(axis=1)
        if outside.any():
            where = ", ".join(f"{value:g}" for value in xy[outside][0])
            raise BadPictureError(f"point ({where}) lies outside the picture of {size[0]}×{size[1]}", "points-outside")
    if np.isnan(box[0]) and keypoints is not None:
        box = keypoints.box()
    if np.isnan(box[0]):
        raise BadPictureError("no label: neither a box nor points", "unlabeled")
    pixel_box(box, size)
    low, high = np.maximum(box[:2], 0), np.minimum(box[:2] + box[2:], size)
    points[points[:, 2] <= 0, :2] = 0  # where an unlabeled point lies may be any number
    return np.concatenate([low, high - low]), points


def _backgrounds(path: Path, root: Path, folder: Path | None) -> list[str]:
    """Absolute paths of the pictures without an ear."""
    named = read_backgrounds(path) if path.suffix.lower() == ".json" else []
    own = [name for name in named if path_problem(name) is None]
    more = collect_pictures([folder]).paths if folder is not None else []
    return [str((root / name).absolute()) for name in own] + more


def _with_backgrounds(labels: Labels, paths: Sequence[str]) -> Labels:
    kept, sizes, skipped = [], [], list(labels.skipped)
    for name in paths:
        try:
            sizes.append(picture_size(Path(name)))
            kept.append(name)
        except BadPictureError as error:
            skipped.append(Skipped(-1, name, str(error)))
    if not kept:
        return replace(labels, skipped=skipped)
    boxes = np.concatenate([labels.manifest.boxes, np.full((len(kept), 4), np.nan)])
    known = labels.manifest.subjects
    subjects = None if known is None else [*known, *[""] * len(kept)]
    return Labels(
        Manifest(labels.manifest.paths + kept, boxes, subjects, root=labels.manifest.root),
        np.concatenate([labels.sizes, np.array(sizes)]),
        np.concatenate([labels.points, np.zeros((len(kept), *labels.points.shape[1:]))]),
        labels.names,
        skipped,
    )
