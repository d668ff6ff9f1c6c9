"""Labeled pictures: one ear each, with a box and points, or no ear."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earcli.data.cache import Skipped
from earcli.data.images import BadPictureError, picture_size
from earcli.data.inputs import read_source
from earcli.data.label_checks import check_label, most_common_layout
from earcli.data.manifest import Manifest
from earcli.data.samples import NO_LABEL
from earcli.errors import DataError, ManifestError

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
        notes: What was done to labels to fit them to their pictures, a line each.
    """

    manifest: Manifest
    sizes: NDArray[np.int64]
    points: Array
    names: tuple[str, ...]
    skipped: list[Skipped]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def has_ear(self) -> NDArray[np.bool_]:
        """(N,) whether a picture shows an ear."""
        return ~np.isnan(self.manifest.boxes[:, 0])

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> "Labels":
        """The pictures at `indices`, in that order."""
        rows = np.asarray(indices)
        return replace(self, manifest=self.manifest.subset(rows), sizes=self.sizes[rows], points=self.points[rows])

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
            tuple(note for part in parts for note in part.notes),
        )

    def limit(self, count: int | None, seed: int) -> "Labels":
        """A random subset of `count` pictures with an ear, and every picture without one; everything for None."""
        ears = np.flatnonzero(self.has_ear)
        if count is None or count >= len(ears):
            return self
        sample = np.random.default_rng(seed).permutation(ears)[:count]
        return self.subset(np.sort(np.concatenate([sample, np.flatnonzero(~self.has_ear)])))


def read_labels(
    path: Path,
    root: Path | None = None,
    landmarks: int | None = None,
    backgrounds: Path | None = None,
    category: str | None = None,
    names: tuple[str, ...] | None = None,
) -> Labels:
    """Reads labels of any format: an annotation file, or a folder of pictures and annotation files.

    Unusable items are skipped and recorded. An ear without a box gets the bounding box of its points; one without
    points contributes its box only. A picture that is named without a label is skipped as well, unless its format says
    that it was reviewed and shows no ear.

    Args:
        path: The file or folder.
        root: Folder that relative paths are resolved against.
        landmarks: K; by default the number of points that most ears have.
        backgrounds: A folder of additional pictures without an ear.
        category: The name of the annotations that are ears; several are separated by commas.
        names: The order of the points, where the labels have these names.

    Raises:
        ManifestError: The file as a whole cannot be used.
        DataError: No item can be used, more than a fifth cannot, or a background is labeled.
    """
    skipped: list[Skipped] = []
    unlabeled: list[Skipped] = []
    manifest = _read(path, root, category, skipped, unlabeled)
    total = len(manifest) + len(skipped)
    labels = _usable_labels(manifest, landmarks, names, skipped)
    if not len(labels) or len(labels.skipped) > MAX_SKIPPED * total:
        examples = "; ".join(f"{item.path}: {item.reason}" for item in labels.skipped[:3])
        raise DataError(
            f"{len(labels.skipped)} of {total} labels of {path} cannot be used (at most {MAX_SKIPPED:.0%} may be "
            f"skipped): {examples}. Check the labels, `landmarks`, and the folder of the pictures."
        )
    labels = replace(labels, skipped=[*labels.skipped, *unlabeled], notes=tuple(manifest.describe_changes(path)))
    empty = [str(manifest.root / name) for name in manifest.empty]
    return _with_backgrounds(labels, [*empty, *_read_backgrounds(backgrounds, labels.skipped)])


def _read(
    path: Path, root: Path | None, category: str | None, skipped: list[Skipped], unlabeled: list[Skipped]
) -> Manifest:
    """The samples of a file or a folder; what is skipped is appended to the lists."""

    def skip(item: Skipped) -> None:
        (unlabeled if item.reason.startswith(NO_LABEL) else skipped).append(item)

    manifest = read_source(path, root, skip, category)
    labeled = set(_labeled_rows(manifest))
    if not labeled and not manifest.empty:
        raise ManifestError(f"{path} has no labels. Give an annotation file, or a folder with some.")
    others = [name for row, name in enumerate(manifest.paths) if row not in labeled]
    unlabeled += [Skipped(-1, name, NO_LABEL) for name in (*others, *manifest.unlabeled)]
    return manifest.subset(sorted(labeled))


def _labeled_rows(manifest: Manifest) -> list[int]:
    keypoints = manifest.keypoints or [None] * len(manifest)
    return [row for row, item in enumerate(keypoints) if item is not None or not np.isnan(manifest.boxes[row, 0])]


def _read_backgrounds(folder: Path | None, skipped: list[Skipped]) -> list[str]:
    """The paths of pictures without an ear.

    Raises:
        DataError: One of them has a label.
    """
    if folder is None:
        return []
    manifest = read_source(folder, None, skipped.append)
    labeled = _labeled_rows(manifest)
    if labeled:
        raise DataError(
            f"{manifest.locate(labeled[0])} is a background without an ear, but has a label beside it "
            f"({len(labeled)} pictures have). Give `backgrounds` a folder without labels."
        )
    return [str(manifest.root / name) for name in (*manifest.paths, *manifest.empty)]


def _usable_labels(
    manifest: Manifest, landmarks: int | None, names: tuple[str, ...] | None, skipped: list[Skipped]
) -> Labels:
    """The valid labels of a manifest; the others are appended to `skipped`."""
    keypoints = manifest.keypoints or [None] * len(manifest)
    layout = most_common_layout(keypoints, landmarks)
    names = names if names and set(names) == set(layout) else layout
    rows, boxes, points, sizes = [], [], [], []
    for row, item in enumerate(keypoints):
        try:
            size = picture_size(manifest.locate(row))
            box, xyv = check_label(manifest.boxes[row], item, names, size)
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


def _with_backgrounds(labels: Labels, paths: Sequence[str]) -> Labels:
    """Labels and, as pictures without an ear, those of `paths` that can be opened.

    Raises:
        DataError: One of them is labeled.
    """
    labeled = {str(labels.manifest.locate(row).resolve()) for row in range(len(labels))}
    both = [path for path in paths if str(Path(path).resolve()) in labeled]
    if both:
        raise DataError(f"{both[0]} is labeled, but also a background without an ear ({len(both)} pictures are).")
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
    return replace(
        labels,
        manifest=Manifest(manifest.paths + backgrounds, boxes, subjects, root=manifest.root),
        sizes=np.concatenate([labels.sizes, np.array(sizes)]),
        points=np.concatenate([labels.points, np.zeros((count, *labels.points.shape[1:]))]),
        skipped=skipped,
    )
