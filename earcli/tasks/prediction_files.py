"""The folder that `predict` writes."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from earcli.analysis.prediction import Prediction
from earcli.data.cache import Skipped, write_skipped
from earcli.data.formats.coco import write_coco
from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.formats.cvat import write_cvat
from earcli.data.formats.label_studio import write_label_studio
from earcli.data.formats.labelme import write_labelme
from earcli.data.formats.yolo import write_yolo
from earcli.data.images import BadPictureError, crop_picture, quiet_decoding, read_picture
from earcli.data.manifest import Manifest
from earcli.files import write_csv
from earcli.reporting.drawing import draw_ear

TOOL_FILES: dict[str, tuple[str, Callable[..., None]]] = {
    "cvat": ("cvat.xml", write_cvat),
    "label-studio": ("label_studio.json", write_label_studio),
    "labelme": ("labelme", write_labelme),
    "yolo": ("yolo", write_yolo),
}
"""What is written for an annotation tool, and by what."""
FORMATS = ("coco", "csv", *TOOL_FILES)
PREDICTION_FILES = (
    *("predictions.json", "predictions.csv", "skipped.csv", "pictures"),
    *(name for name, _ in TOOL_FILES.values()),
)
JPEG_QUALITY = 92
LONGEST_STEM = 240
"""Bytes, which leave room for a number and an extension: file names have up to 255."""


@dataclass
class PredictionWriter:
    """Writes predictions to a new folder.

    Attributes:
        folder: An empty folder.
        output: Where that folder will be, which names in COCO JSON are relative to.
        crops: Folder for the cropped ears; None writes none.
        manifest: The images.
        names: Names of the points.
        threshold: Least score of an ear that is drawn, cropped and written for an annotation tool. COCO JSON and CSV
            have all ears.
        format: One of `FORMATS`; COCO JSON and CSV are always written.
        predictions: The predictions that were written.
        skipped: The images that could not be read.
    """

    folder: Path
    output: Path
    crops: Path | None
    manifest: Manifest
    names: tuple[str, ...]
    threshold: float
    format: str = "coco"
    predictions: list[Prediction] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    _used: set[str] = field(default_factory=set)

    @property
    def ears(self) -> int:
        """The number of ears with a score of at least the threshold, which were drawn."""
        return len(self._used)

    def write(self, results: Iterable[Prediction | Skipped]) -> None:
        """Draws each prediction as it comes, and writes JSON and CSV at the end."""
        (self.folder / "pictures").mkdir()
        for result in results:
            outcome = self._draw(result)
            if isinstance(outcome, Skipped):
                self.skipped.append(outcome)
            else:
                self.predictions.append(outcome)
        paths = [self.manifest.paths[prediction.index] for prediction in self.predictions]
        files = [os.path.normpath(self.manifest.locate(item.index).absolute()) for item in self.predictions]
        sizes = [prediction.size for prediction in self.predictions]
        scores = [float(prediction.score) for prediction in self.predictions]
        columns = _columns(relative_names(files, str(self.output.absolute())), self.predictions, self.names)
        if self.manifest.image_ids is not None:
            columns = replace(columns, image_ids=[self.manifest.image_ids[item.index] for item in self.predictions])
        write_coco(self.folder / "predictions.json", columns, sizes, scores)
        if self.format in TOOL_FILES:
            name, write = TOOL_FILES[self.format]
            rows = [row for row, score in enumerate(scores) if score >= self.threshold]
            columns = replace(columns, paths=relative_names(files, common_folder(files)))
            write(self.folder / name, columns.subset(rows), [sizes[i] for i in rows], [scores[i] for i in rows])
        _write_table(self.folder / "predictions.csv", paths, self.predictions, self.names)
        write_skipped(self.folder / "skipped.csv", self.skipped)

    def _draw(self, result: Prediction | Skipped) -> Prediction | Skipped:
        """Draws and crops an ear of sufficient score; skips an image that has since become unreadable."""
        if isinstance(result, Prediction) and result.score >= self.threshold:
            try:
                self._write_picture(result)
            except BadPictureError as error:
                return Skipped(result.index, self.manifest.paths[result.index], str(error))
        return result

    def _write_picture(self, prediction: Prediction) -> None:
        with quiet_decoding():
            image = read_picture(self.manifest.locate(prediction.index))
        name = self._unused_name(Path(self.manifest.paths[prediction.index]).stem)
        drawn = draw_ear(image, prediction.box, prediction.points[:, :2])
        drawn.save(self.folder / "pictures" / name, quality=JPEG_QUALITY)
        if self.crops is not None:
            with suppress(BadPictureError):  # a box without a pixel of the image
                crop_picture(image, prediction.box).save(self.crops / name, quality=JPEG_QUALITY)

    def _unused_name(self, stem: str) -> str:
        while len(os.fsencode(stem)) > LONGEST_STEM:
            stem = stem[:-1]
        names = chain([f"{stem}.jpg"], (f"{stem}_{number}.jpg" for number in count(2)))
        name = next(name for name in names if name not in self._used)
        self._used.add(name)
        return name


def common_folder(paths: Sequence[str]) -> str:
    """The folder that all pictures lie in or below, which names for annotation tools are relative to."""
    return os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""  # noqa: PTH120


def relative_names(paths: Sequence[str], root: str) -> list[str]:
    """Paths relative to a folder, with slashes."""
    return [os.path.relpath(path, root).replace(os.sep, "/") for path in paths]


def _write_table(path: Path, images: Sequence[str], predictions: Sequence[Prediction], names: Sequence[str]) -> None:
    points = [f"{name}_{column}" for name in names for column in ("x", "y", "visible")]
    rows: list[list[Any]] = []
    for image, prediction in zip(images, predictions, strict=True):
        values = [*prediction.box.round(2), round(prediction.score, 4), *prediction.points.round(3).ravel()]
        rows.append([image, *(float(value) for value in values)])
    write_csv(path, ("image_path", "x", "y", "width", "height", "confidence", *points), rows)


def _columns(images: Sequence[str], predictions: Sequence[Prediction], names: tuple[str, ...]) -> Columns:
    """Predictions as annotations; a point is 2, visible, if that is more likely than hidden, else 1."""
    keypoints: list[Keypoints | None] = []
    for prediction in predictions:
        points = prediction.points.astype(np.float64)
        points[:, 2] = np.where(prediction.points[:, 2] >= 0.5, 2, 1)
        keypoints.append(Keypoints(names, points))
    boxes = np.array([prediction.box for prediction in predictions], dtype=np.float64).reshape(-1, 4)
    return Columns(list(images), boxes, keypoints=keypoints)
