"""Run a detector on images without labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from earcli.analysis.encoding import device_of, map_batches
from earcli.data.cache import Progress, Skipped
from earcli.data.decoding import decode_chunks
from earcli.data.images import BadPictureError, picture_size
from earcli.data.manifest import Manifest
from earcli.data.views import boxes_to_picture, expand_boxes, to_picture
from earcli.models.detector import EarDetector


@dataclass(frozen=True)
class Prediction:
    """The ear on one image, in pixels of the upright image.

    Attributes:
        index: Row of the manifest.
        size: Width and height of the image.
        box: (4,) x, y, width, height.
        score: Confidence that there is an ear, in [0, 1].
        points: (K, 3) x and y, with the first pixel's center at 0, and the confidence that it is visible, in [0, 1].
    """

    index: int
    size: tuple[int, int]
    box: NDArray[np.float64]
    score: float
    points: NDArray[np.float64]


def predict_images(
    model: EarDetector,
    manifest: Manifest,
    *,
    side: int,
    margin: float | None,
    batch_size: int = 32,
    workers: int = 4,
    progress: Progress | None = None,
) -> Iterator[Prediction | Skipped]:
    """Runs a detector on every image of a manifest, in order; yields why where an image cannot be read.

    Args:
        model: A detector in eval mode.
        manifest: Images. A box restricts the search to it; without one the whole image is searched.
        side: Side of the detector's input in pixels.
        margin: Margin around the boxes as a fraction of their sides; None searches whole images.
        batch_size: Images per batch.
        workers: Threads that decode.
        progress: Called after each image.
    """
    inputs = [_window(manifest, row, margin) for row in range(len(manifest))]
    windows = np.array([window for _, window in inputs])
    for chunk in decode_chunks(replace(manifest, boxes=windows), side, workers):
        readable = [row for row, pixels in chunk.items() if not isinstance(pixels, str)]
        ears = dict(zip(readable, _detect(model, chunk, readable, windows, batch_size), strict=True))
        for row, pixels in chunk.items():
            if isinstance(pixels, str):
                yield Skipped(row, manifest.paths[row], pixels)
            else:
                yield Prediction(row, inputs[row][0], *ears[row])
            if progress is not None:
                progress("detecting ears", row + 1, len(manifest))


def _window(manifest: Manifest, row: int, margin: float | None) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """The size of an image, and the part of it that the detector sees."""
    box = manifest.boxes[row]
    try:
        size = picture_size(manifest.locate(row))
        return size, expand_boxes(box[None], margin, np.array([size]))[0]
    except BadPictureError:
        return (0, 0), box  # decoding will report why it cannot be read


def _detect(
    model: EarDetector,
    chunk: Mapping[int, NDArray[np.uint8] | str],
    rows: list[int],
    windows: NDArray[np.float64],
    batch_size: int,
) -> Iterator[tuple[NDArray[np.float64], float, NDArray[np.float64]]]:
    """The box, score and points of some rows of a chunk."""
    if not rows:
        return
    pixels = np.stack([chunk[row] for row in rows])
    outputs = map_batches(model, pixels, batch_size=batch_size, device=device_of(model))
    boxes, points = (torch.from_numpy(output).double() for output in outputs)  # on the CPU
    window = torch.from_numpy(windows[rows])
    image_boxes = boxes_to_picture(boxes[:, :4], window).numpy()
    image_boxes[:, 2:] = image_boxes[:, 2:].clip(0)  # the network may predict the right edge left of the left one
    scores = boxes[:, 4].sigmoid().tolist()
    points = torch.cat([to_picture(points[..., :2], window), points[..., 2:].sigmoid()], 2)
    yield from zip(image_boxes, scores, points.numpy(), strict=True)
