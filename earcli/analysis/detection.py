"""How well a detector finds ears and points. Tensors in, plain values out."""

from collections.abc import Sequence
from typing import NamedTuple, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earcli.analysis.encoding import device_of
from earcli.data.batches import EpochBatches, PixelDataset
from earcli.data.cache import Progress
from earcli.data.labels import Labels
from earcli.data.views import ViewBatch, boxes_to_picture, render_views, to_picture
from earcli.metrics.landmarks import average_precision, error_auc, failure_rate, iou_each, nme_each
from earcli.models.detector import Detection, EarDetector


class DetectionResults(NamedTuple):
    """What was found on N pictures, and what was wanted. Coordinates are pixels of the picture.

    Attributes:
        boxes, wanted_boxes: (N, 4) x, y, width, height.
        scores: (N,) how sure the detector is that there is an ear, 0 to 1.
        points, wanted_points: (N, K, 2).
        visibility: (N, K) how sure the detector is that a point is visible, 0 to 1.
        labeled: (N, K) bool.
        ear: (N,) bool.
        window: (N, 4) x, y, width, height of what the detector was shown.
    """

    boxes: Tensor
    scores: Tensor
    points: Tensor
    visibility: Tensor
    wanted_boxes: Tensor
    wanted_points: Tensor
    labeled: Tensor
    ear: Tensor
    window: Tensor

    @classmethod
    def of(cls, detection: Detection, batch: ViewBatch) -> Self:
        """What was found on windows that were shown as they are."""
        window = batch["window"]
        values = (
            boxes_to_picture(detection.boxes[:, :4], window),
            detection.boxes[:, 4].sigmoid(),
            to_picture(detection.keypoints[..., :2], window),
            detection.keypoints[..., 2].sigmoid(),
            boxes_to_picture(batch["boxes"], window),
            to_picture(batch["points"], window),
            batch["seen"] > 0,
            batch["ear"],
            window,
        )
        return cls(*(value.detach().cpu() for value in values))

    @classmethod
    def joined(cls, parts: Sequence["DetectionResults"]) -> Self:
        """All of several, in their order."""
        return cls(*(torch.cat(columns) for columns in zip(*parts, strict=True)))

    def nme(self, normalizer: str = "box") -> NDArray[np.float64]:
        """The normalized mean error of every ear with a labeled point, as shares of `normalizer`'s length.

        Args:
            normalizer: `box`, the diagonal of the labeled box; `crop`, the square root of the area that the detector
                was shown; or `A,B`, the distance of two points, counted from 1.
        """
        errors = nme_each(self.points, self.wanted_points, self.labeled, self._length(normalizer))
        return errors[self.ear].double().numpy()

    def _length(self, normalizer: str) -> Tensor:
        if normalizer == "box":
            diagonal: Tensor = torch.linalg.vector_norm(self.wanted_boxes[:, 2:], dim=1)
            return diagonal
        if normalizer == "crop":
            return (self.window[:, 2] * self.window[:, 3]).sqrt()
        a, b = (int(number) - 1 for number in normalizer.split(","))
        length: Tensor = torch.linalg.vector_norm(self.wanted_points[:, a] - self.wanted_points[:, b], dim=1)
        known: Tensor = length.where(self.labeled[:, a] & self.labeled[:, b] & (length > 0), torch.nan)
        return known

    def iou(self) -> NDArray[np.float64]:
        """The intersection over union of every ear's box."""
        return iou_each(self.boxes, self.wanted_boxes)[self.ear].double().numpy()

    def summary(self, normalizer: str = "box") -> dict[str, float]:
        """The figures of the whole set: `nme`, `failure_rate` and `auc` where there are points; `iou`, `ap50`, `ap`."""
        wanted = [
            box[None] if ear else box.new_zeros(0, 4) for box, ear in zip(self.wanted_boxes, self.ear, strict=True)
        ]
        ap50, ap = average_precision(list(self.boxes[:, None]), list(self.scores[:, None]), wanted)
        boxes = {"iou": float(self.iou().mean()), "ap50": ap50, "ap": ap}
        errors = self.nme(normalizer)
        errors = errors[~np.isnan(errors)]
        if not len(errors):
            return boxes
        points = {"nme": float(errors.mean()), "failure_rate": failure_rate(errors), "auc": error_auc(errors)}
        return points | boxes


def detect(
    model: EarDetector, dataset: PixelDataset, batch_size: int, progress: Progress | None = None
) -> DetectionResults:
    """What a detector in eval mode finds on windows that are shown as they are."""
    device = device_of(model)
    parts = []
    with torch.no_grad():
        for rows in EpochBatches(len(dataset), batch_size):
            batch = cast(ViewBatch, {name: value.to(device) for name, value in dataset[rows].items()})
            parts.append(DetectionResults.of(model(render_views(batch, 0, None)[0]), batch))
            if progress is not None:
                progress("looking for ears", int(rows[-1]) + 1, len(dataset))
    return DetectionResults.joined(parts)


def mean_shape_nme(findings: DetectionResults, train: Labels) -> NDArray[np.float64]:
    """The NME, as shares of the box's diagonal, of guessing the mean shape of the training ears in the labeled box.

    Ears of both sides are mixed, as they are for a detector.
    """
    boxes, points = (torch.from_numpy(value).float() for value in (train.manifest.boxes, train.points))
    relative = (points[:, :, :2] - boxes[:, None, :2]) / boxes[:, None, 2:]
    known = (points[:, :, 2] > 0) & torch.from_numpy(train.has_ear)[:, None]
    shape = torch.where(known[..., None], relative, 0).sum(0) / known.sum(0).clamp(min=1)[:, None]
    guess = shape * findings.wanted_boxes[:, None, 2:] + findings.wanted_boxes[:, None, :2]
    return findings._replace(points=guess).nme()
