"""Labeled pictures: one ear each, with a box and points, or no ear."""

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

MAX_SKIPPED = 0.2
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """N labels: pictures with one labeled ear, or with none.

    Attributes:
        manifest: Paths, boxes and subjects; a box of NaN is no ear.
        sizes: (N, 2) width and height of the upright pictures, in pixels.
        points: (N, K, 3) x, y in pixels of the upright picture, the first pixel's center at 0, and visibility as in
            COCO: 0 not labeled, 1 occluded, 2 visible.
        names: K names of the points.
        skipped: The labels that cannot be used, and why.
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
        """(N,) whether a picture shows an ear."""
        return ~np.isnan(self.manifest.boxes[:, 0])

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> "Labels":
        """The pictures at `indices`, in that order."""
        rows = np.asarray(indices)
        return Labels(self.manifest.subset(rows), self.sizes[rows], self.points[rows], self.names, self.skipped)

    def single_ear_pictures(self) -> "Labels":
        """Only the pictures with at most one labeled ear: a view of a whole picture has one target.

        Raises:
            DataError: There is no such picture.
        """
        ears = Counter(self.manifest.paths)
        several = [Skipped(-1, path, f"{count} ears on one picture") for path, count in ears.items() if count > 1]
        rows = [row for row, path in enumerate(self.manifest.paths) if ears[path] == 1]
        if not rows:
            raise DataError("Every picture has several labeled ears, but a view of a whole picture must have one.")
        return replace(self.subset(rows), skipped=[*self.skipped, *several])

    @classmethod
    def concatenate(cls, parts: Sequence["Labels"]) -> "Labels":
        """The labels of several sets, whose points must have the same names.

        Raises:
            DataError: The names differ.
        """
        if len({part.names for part in parts}) > 1:
            counts = " and ".join(str(len(part.names)) for part in parts)
            raise DataError(f"The sets have {counts} points or different names for them, expected the same points.")
        paths = [str(part.manifest.locate(row).absolute()) for part in parts for row in range(len(part))]
        subjects = [name for part in parts for name in part.manifest.subjects or [""] * len(part)]
        boxes = np.concatenate([part.manifest.boxes for part in parts])
        return cls(
            Manifest(paths, boxes, subjects, root=Path("/")),
            np.concatenate([part.sizes for part in parts]),
            np.concatenate([part.points for part in parts]),
            parts[0].names,
            [item for part in parts for item in part.skipped],
        )

    def limit(self, count: int | None, seed: int) -> "Labels":
        """A random subset of `count` pictures with an ear, and every picture without one; everything for None."""
        ears = np.flatnonzero(self.has_ear)
        if count is None or count >= len(ears):
            return self
        sample = np.random.default_rng(seed).permutation(ears)[:count]
        return self.subset(np.sort(np.concatenate([sample, np.flatnonzero(~self.has_ear)])))


def read_labels(
    path: Path, root: Path | None = None, landmarks: int | None = None, backgrounds: Path | None = None
) -> Labels:
    """Reads labels of any format: COCO JSON, CSV, `.npy`, or a folder of pictures with `.pts` files.

    Unusable items are skipped and recorded. An ear without a box gets the bounding box of its points; one without
    points contributes its box only. Pictures of a COCO file without an annotation show no ear.

    Args:
        path: The file or folder.
        root: Folder that relative paths are resolved against.
        landmarks: K; by default the number of points that most ears have.
        backgrounds: A folder of additional pictures without an ear.

    Raises:
        ManifestError: The file as a whole cannot be used.
        DataError: No item can be used, or more than a fifth cannot.
    """
    skipped: list[Skipped] = []

    def skip(message: str) -> None:
        skipped.append(Skipped(-1, str(path), message))

    manifest = as_manifest(read_pts_folder(path, skip), path) if path.is_dir() else read_manifest(path, root, skip)
    total = len(manifest) + len(skipped)
    labels = _usable_labels(manifest, landmarks, skipped)
    if not len(labels) or len(labels.skipped) > MAX_SKIPPED * total:
        examples = "; ".join(f"{item.path}: {item.reason}" for item in labels.skipped[:3])
        raise DataError(
            f"{len(labels.skipped)} of {total} labels of {path} cannot be used (at most {MAX_SKIPPED:.0%} may be "
            f"skipped): {examples}. Check the labels, `landmarks`, and the folder of the pictures."
        )
    return _with_backgrounds(labels, _background_paths(path, labels.manifest.root, backgrounds))


def _usable_labels(manifest: Manifest, landmarks: int | None, skipped: list[Skipped]) -> Labels:
    """The valid labels of a manifest; the others are appended to `skipped`."""
    keypoints = manifest.keypoints or [None] * len(manifest)
    names = _layout(keypoints, landmarks)
    rows, boxes, points, sizes = [], [], [], []
    for row, item in enumerate(keypoints):
        try:
            size = picture_size(manifest.locate(row))
            box, xyv = _validate(manifest.boxes[row], item, names, size)
        except BadPictureError as error:
            skipped.append(Skipped(row, manifest.paths[row], str(error)))
            continue
        rows.append(row)
        boxes.append(box)
        points.append(xyv)
        sizes.append(size)
    usable = replace(manifest.subset(rows), boxes=np.array(boxes).reshape(-1, 4), keypoints=None)
    shape = (len(rows), len(names), 3)
    return Labels(usable, np.array(sizes).reshape(-1, 2), np.array(points).reshape(shape), names, skipped)


def _layout(keypoints: Sequence[Keypoints | None], landmarks: int | None) -> tuple[str, ...]:
    """The most frequent names of points."""
    layouts = Counter(k.names for k in keypoints if k is not None and landmarks in (None, len(k.names)))
    if layouts:
        return layouts.most_common(1)[0][0]
    return default_point_names(landmarks or 0)


def _validate(
    box: Array, keypoints: Keypoints | None, names: tuple[str, ...], size: tuple[int, int]
) -> tuple[Array, Array]:
    """A box that can be cropped, and points (K, 3); raises `BadPictureError` with the reason."""
    points = np.zeros((len(names), 3))
    if keypoints is not None and names:
        if len(keypoints.names) != len(names):
            raise BadPictureError(f"{len(keypoints.names)} points, expected {len(names)}", "points-count")
        if keypoints.names != names and default_point_names(len(names)) not in (keypoints.names, names):
            other = next(a for a, b in zip(keypoints.names, names, strict=True) if a != b)
            raise BadPictureError(
                f"point {other!r} has another name or position than in the other labels", "points-names"
            )
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
    points[points[:, 2] <= 0, :2] = 0  # coordinates of unlabeled points are arbitrary
    return np.concatenate([low, high - low]), points


def _background_paths(path: Path, root: Path, folder: Path | None) -> list[str]:
    """Absolute paths of the pictures without an ear: those of a COCO file, and those in `folder`."""
    names = read_backgrounds(path) if path.suffix.lower() == ".json" else []
    safe = [name for name in names if path_problem(name) is None]
    additional = collect_pictures([folder]).paths if folder is not None else []
    return [str((root / name).absolute()) for name in safe] + additional


def _with_backgrounds(labels: Labels, paths: Sequence[str]) -> Labels:
    """Labels and, as pictures without an ear, those of `paths` that can be opened."""
    backgrounds, sizes, skipped = [], [], list(labels.skipped)
    for path in paths:
        try:
            sizes.append(picture_size(Path(path)))
            backgrounds.append(path)
        except BadPictureError as error:
            skipped.append(Skipped(-1, path, str(error)))
    if not backgrounds:
        return replace(labels, skipped=skipped)
    count, manifest = len(backgrounds), labels.manifest
    boxes = np.concatenate([manifest.boxes, np.full((count, 4), np.nan)])
    subjects = None if manifest.subjects is None else [*manifest.subjects, *[""] * count]
    return Labels(
        Manifest(manifest.paths + backgrounds, boxes, subjects, root=manifest.root),
        np.concatenate([labels.sizes, np.array(sizes)]),
        np.concatenate([labels.points, np.zeros((count, *labels.points.shape[1:]))]),
        labels.names,
        skipped,
    )
