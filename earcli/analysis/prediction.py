"""What a detector finds on pictures without labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from earcli.analysis.encoding import device_of, map_batches
from earcli.data.cache import Progress, Skipped, decode_chunks
from earcli.data.images import BadPictureError, picture_size
from earcli.data.manifest import Manifest
from earcli.data.views import boxes_to_picture, expand_boxes, to_picture
from earcli.models.detector import EarDetector


@dataclass(frozen=True)
class Found:
    """What was found on one picture, in pixels of it.

    Attributes:
        index: of the picture in the manifest.
        size: width and height of the upright picture.
        box: (4,) x, y, width, height.
        score: how sure the detector is that there is an ear, 0 to 1.
        points: (K, 3) x and y, the first pixel's center at 0, and how sure the detector is that it is visible, 0 to 1.
    """

    index: int
    size: tuple[int, int]
    box: NDArray[np.float64]
    score: float
    points: NDArray[np.float64]


def predict(
    model: EarDetector,
    manifest: Manifest,
    side: int,
    margin: float | None,
    batch_size: int,
    workers: int,
    progress: Progress | None = None,
) -> Iterator[Found | Skipped]:
    """What a detector finds on every picture of a manifest, in its order, or why it could not look.

    Args:
        side: of the detector's input.
        margin: what the detector is shown around the manifest's boxes; pictures without a box are shown whole, and all
            are for None.
    """
    looked = [_window(manifest, row, margin) for row in range(len(manifest))]
    windows = np.array([window for _, window in looked])
    for chunk in decode_chunks(replace(manifest, boxes=windows), side, workers):
        good = [row for row, pixels in chunk.items() if not isinstance(pixels, str)]
        found = dict(zip(good, _detect(model, chunk, good, windows, batch_size), strict=True))
        for row, result in chunk.items():
            if isinstance(result, str):
                yield Skipped(row, manifest.paths[row], result)
            else:
                yield Found(row, looked[row][0], *found[row])
            if progress is not None:
                progress("looking for ears", row + 1, len(manifest))


def _window(manifest: Manifest, row: int, margin: float | None) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """The size of a picture, and the part of it that the detector is shown."""
    box = manifest.boxes[row]
    try:
        size = picture_size(manifest.locate(row))
        return size, expand_boxes(box[None], margin, np.array([size]))[0]
    except BadPictureError:
        return (0, 0), box  # whoever decodes it will say why it cannot be used


def _detect(
    model: EarDetector,
    chunk: Mapping[int, NDArray[np.uint8] | str],
    rows: list[int],
    windows: NDArray[np.float64],
    batch_size: int,
) -> Iterator[tuple[NDArray[np.float64], float, NDArray[np.float64]]]:
    """Box, score and points of some pictures of a chunk."""
    if not rows:
        return
    pixels = np.stack([chunk[row] for row in rows])
    boxes, points = map(torch.from_numpy, map_batches(model, pixels, batch_size=batch_size, device=device_of(model)))
    window = torch.from_numpy(windows[rows])
    places = boxes_to_picture(boxes[:, :4].double(), window).numpy()
    places[:, 2:] = places[:, 2:].clip(0)  # two sides that changed places
    scores = boxes[:, 4].sigmoid().tolist()
    points = torch.cat([to_picture(points[..., :2].double(), window), points[..., 2:].double().sigmoid()], 2)
    yield from zip(places, scores, points.numpy(), strict=True)
