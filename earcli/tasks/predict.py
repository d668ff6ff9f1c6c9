"""The folder that `ear predict` leaves."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from earcli.analysis.prediction import Found
from earcli.data.cache import Skipped, write_skipped
from earcli.data.images import BadPictureError, crop_picture, quiet_decoding, read_picture
from earcli.data.manifest import Manifest
from earcli.files import write_csv
from earcli.reporting.drawing import draw_ear

FILES = ("predictions.json", "predictions.csv", "skipped.csv", "pictures")
QUALITY = 92
LONGEST_STEM = 240
"""Bytes, which leave room for a number and an ending: names have up to 255."""


@dataclass
class PredictionFiles:
    """Writes what was found into a new folder.

    Attributes:
        names: of the points.
        threshold: the least confidence of an ear that is drawn and cut out; the others are written down only.
        seen, drawn: how many pictures and ears, after `write`.
        skipped: the pictures that could not be read, after `write`.
    """

    folder: Path
    manifest: Manifest
    names: tuple[str, ...]
    threshold: float
    seen: int = 0
    drawn: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def write(self, results: Iterable[Found | Skipped], crops: Path | None) -> None:
        """Writes everything; `crops` is a folder for the ears, cut out."""
        (self.folder / "pictures").mkdir()
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        rows: list[list[Any]] = []
        for found in results:
            result = self._drawn(found, crops)
            if isinstance(result, Skipped):
                self.skipped.append(result)
                continue
            self.seen += 1
            path = self.manifest.paths[result.index]
            images.append({"id": self.seen, "file_name": path, "width": result.size[0], "height": result.size[1]})
            annotations.append(self._annotation(result))
            values = [*result.box.round(2), round(result.score, 4), *result.points.round(3).ravel()]
            rows.append([path, *(float(value) for value in values)])
        category = {"id": 1, "name": "ear", "keypoints": list(self.names), "skeleton": []}
        document = {"images": images, "annotations": annotations, "categories": [category]}
        (self.folder / "predictions.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        points = [f"{name}_{what}" for name in self.names for what in ("x", "y", "visible")]
        write_csv(
            self.folder / "predictions.csv", ("image_path", "x", "y", "width", "height", "confidence", *points), rows
        )
        write_skipped(self.folder / "skipped.csv", self.skipped)

    def _annotation(self, found: Found) -> dict[str, Any]:
        """As COCO has results; visibility is 2 where the point is more likely visible than hidden, else 1."""
        flat = [value for x, y, sure in found.points.round(2).tolist() for value in (x, y, 2 if sure >= 0.5 else 1)]
        x, y, width, height = found.box.round(2).tolist()
        return {
            "id": self.seen,
            "image_id": self.seen,
            "category_id": 1,
            "bbox": [x, y, width, height],
            "area": round(width * height, 2),
            "iscrowd": 0,
            "score": round(found.score, 4),
            "num_keypoints": len(found.points),
            "keypoints": flat,
        }

    def _drawn(self, found: Found | Skipped, crops: Path | None) -> Found | Skipped:
        """Draws an ear that was found; says so where the picture went away after it was looked at."""
        if isinstance(found, Found) and found.score >= self.threshold:
            try:
                self._picture(found, crops)
            except BadPictureError as error:
                return Skipped(found.index, self.manifest.paths[found.index], str(error))
        return found

    def _picture(self, found: Found, crops: Path | None) -> None:
        with quiet_decoding():
            image = read_picture(self.manifest.locate(found.index))
        stem = Path(self.manifest.paths[found.index]).stem
        while len(os.fsencode(stem)) > LONGEST_STEM:
            stem = stem[:-1]
        names = chain([f"{stem}.jpg"], (f"{stem}_{number}.jpg" for number in count(2)))
        name = next(name for name in names if name not in self.used)
        self.used.add(name)
        draw_ear(image, found.box, found.points[:, :2]).save(self.folder / "pictures" / name, quality=QUALITY)
        self.drawn += 1
        if crops is not None:
            with suppress(BadPictureError):  # a box that holds no pixel of the picture
                crop_picture(image, found.box).save(crops / name, quality=QUALITY)
