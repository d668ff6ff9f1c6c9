"""The folder that `predict` writes."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from earcli.analysis.prediction import Prediction
from earcli.data.cache import Skipped, write_skipped
from earcli.data.formats.coco import write_coco
from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.images import BadPictureError, crop_picture, quiet_decoding, read_picture
from earcli.data.manifest import Manifest
from earcli.files import write_csv
from earcli.reporting.drawing import draw_ear

PREDICTION_FILES = ("predictions.json", "predictions.csv", "skipped.csv", "pictures")
JPEG_QUALITY = 92
LONGEST_STEM = 240
"""Bytes, which leave room for a number and an extension: file names have up to 255."""


@dataclass
class PredictionWriter:
    """Writes predictions to a new folder.

    Attributes:
        folder: An empty folder.
        crops: Folder for the cropped ears; None writes none.
        manifest: The images.
        names: Names of the points.
        threshold: Least score of an ear that is drawn and cropped; all predictions are written to JSON and CSV.
        predictions: The predictions that were written.
        skipped: The images that could not be read.
    """

    folder: Path
    crops: Path | None
    manifest: Manifest
    names: tuple[str, ...]
    threshold: float
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
        columns = _columns(paths, self.predictions, self.names)
        sizes = [prediction.size for prediction in self.predictions]
        scores = [round(prediction.score, 4) for prediction in self.predictions]
        write_coco(self.folder / "predictions.json", columns, sizes, scores)
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
        points = prediction.points.round(2)
        points[:, 2] = np.where(prediction.points[:, 2] >= 0.5, 2, 1)
        keypoints.append(Keypoints(names, points))
    boxes = np.array([prediction.box for prediction in predictions]).reshape(-1, 4).round(2)
    return Columns(list(images), boxes, keypoints=keypoints)
