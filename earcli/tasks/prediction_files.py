"""The folder that `predict` writes."""

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from earcli import __version__
from earcli.analysis.prediction import Prediction
from earcli.data.cache import Skipped
from earcli.data.images import BadPictureError, crop_picture, quiet_decoding, read_picture
from earcli.data.manifest import Manifest
from earcli.files import write_csv
from earcli.reporting.drawing import draw_ear
from earcli.tasks.evaluation_files import write_skipped

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
        _write_coco(self.folder / "predictions.json", paths, self.predictions, self.names)
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


def _write_coco(path: Path, images: Sequence[str], predictions: Sequence[Prediction], names: Sequence[str]) -> None:
    """Writes COCO JSON (cocodataset.org/#format-data) with a score per annotation; ids start at 1."""
    sizes = [prediction.size for prediction in predictions]
    document = {
        "info": {"description": "Predictions of ear predict", "version": __version__},
        "images": [
            {"id": number, "file_name": image, "width": width, "height": height}
            for number, (image, (width, height)) in enumerate(zip(images, sizes, strict=True), 1)
        ],
        "annotations": [_annotation(number, prediction) for number, prediction in enumerate(predictions, 1)],
        "categories": [{"id": 1, "name": "ear", "supercategory": "ear", "keypoints": list(names), "skeleton": []}],
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _annotation(number: int, prediction: Prediction) -> dict[str, Any]:
    """An annotation; visibility is 2 for a point that is more likely visible than hidden, else 1."""
    x, y, width, height = prediction.box.round(2).tolist()
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "bbox": [x, y, width, height],
        "area": round(width * height, 2),
        "iscrowd": 0,
        "score": round(prediction.score, 4),
        "num_keypoints": len(prediction.points),
        "keypoints": [
            value
            for px, py, visible in prediction.points.round(2).tolist()
            for value in (px, py, 2 if visible >= 0.5 else 1)
        ],
    }
