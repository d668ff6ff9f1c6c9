"""Compare a detector's boxes and points with labels. Tensors in, plain values out."""

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
    """Predictions and targets on N images, in pixels of the image, on the CPU.

    Attributes:
        boxes, target_boxes: (N, 4) x, y, width, height.
        scores: (N,) confidence that there is an ear, in [0, 1].
        points, target_points: (N, K, 2), with the first pixel's center at 0.
        visibility: (N, K) confidence that a point is visible, in [0, 1].
        labeled: (N, K) bool.
        has_ear: (N,) bool.
        window: (N, 4) x, y, width, height of the part of the image that the detector saw.
    """

    boxes: Tensor
    scores: Tensor
    points: Tensor
    visibility: Tensor
    target_boxes: Tensor
    target_points: Tensor
    labeled: Tensor
    has_ear: Tensor
    window: Tensor

    @classmethod
    def from_batch(cls, detection: Detection, batch: ViewBatch) -> Self:
        """The results of one batch, whose windows were shown without augmentation."""
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
    def concatenate(cls, batches: Sequence["DetectionResults"]) -> Self:
        """The results of several batches, in order."""
        return cls(*(torch.cat(columns) for columns in zip(*batches, strict=True)))

    def nme(self, normalize: str = "box") -> NDArray[np.float64]:
        """The normalized mean error of each ear, as a fraction of a length; NaN for an ear without labeled points.

        Args:
            normalize: `box`, the diagonal of the labeled box; `crop`, the square root of the area that the detector
                saw; or `A,B`, the distance of two points, numbered from 1.
        """
        errors = nme_each(self.points, self.target_points, self.labeled, self._norm(normalize))
        return errors[self.has_ear].double().numpy()

    def _norm(self, normalize: str) -> Tensor:
        """(N,) in pixels; NaN where it is unknown."""
        if normalize == "box":
            diagonal: Tensor = torch.linalg.vector_norm(self.target_boxes[:, 2:], dim=1)
            return diagonal
        if normalize == "crop":
            return (self.window[:, 2] * self.window[:, 3]).sqrt()
        a, b = (int(number) - 1 for number in normalize.split(","))
        distance: Tensor = torch.linalg.vector_norm(self.target_points[:, a] - self.target_points[:, b], dim=1)
        norm: Tensor = distance.where(self.labeled[:, a] & self.labeled[:, b] & (distance > 0), torch.nan)
        return norm

    def iou(self) -> NDArray[np.float64]:
        """The intersection over union of each ear's box."""
        return iou_each(self.boxes, self.target_boxes)[self.has_ear].double().numpy()

    def summary(self, normalize: str = "box") -> dict[str, float]:
        """Metrics over all images: `nme`, `failure_rate` and `auc` if there are points; `iou`, `ap50`, `ap`."""
        targets = [
            box[None] if ear else box.new_zeros(0, 4) for box, ear in zip(self.target_boxes, self.has_ear, strict=True)
        ]
        ap50, ap = average_precision(list(self.boxes[:, None]), list(self.scores[:, None]), targets)
        boxes = {"iou": float(self.iou().mean()), "ap50": ap50, "ap": ap}
        errors = self.nme(normalize)
        errors = errors[~np.isnan(errors)]
        if not len(errors):
            return boxes
        points = {"nme": float(errors.mean()), "failure_rate": failure_rate(errors), "auc": error_auc(errors)}
        return points | boxes


def detect(
    model: EarDetector, dataset: PixelDataset, batch_size: int, progress: Progress | None = None
) -> DetectionResults:
    """Runs a detector on all windows of a dataset without augmentation.

    Args:
        model: A detector in eval mode.
        dataset: Windows as `ViewBatch`es, from `view_dataset`.
        batch_size: Windows per batch.
        progress: Called after each batch.
    """
    device = device_of(model)
    results = []
    with torch.no_grad():
        for rows in EpochBatches(len(dataset), batch_size):
            batch = cast(ViewBatch, {name: value.to(device) for name, value in dataset[rows].items()})
            results.append(DetectionResults.from_batch(model(render_views(batch, 0, None)[0]), batch))
            if progress is not None:
                progress("detecting ears", int(rows[-1]) + 1, len(dataset))
    return DetectionResults.concatenate(results)


def mean_shape_nme(results: DetectionResults, train: Labels) -> NDArray[np.float64]:
    """The NME, normalized by the box diagonal, of predicting the mean training shape in each labeled box.

    Left and right ears are averaged together, as a detector sees both.
    """
    boxes, points = (torch.from_numpy(array).float() for array in (train.manifest.boxes, train.points))
    relative = (points[:, :, :2] - boxes[:, None, :2]) / boxes[:, None, 2:]  # (M, K, 2)
    labeled = (points[:, :, 2] > 0) & torch.from_numpy(train.has_ear)[:, None]
    shape = torch.where(labeled[..., None], relative, 0).sum(0) / labeled.sum(0).clamp(min=1)[:, None]
    prediction = shape * results.target_boxes[:, None, 2:] + results.target_boxes[:, None, :2]
    return results._replace(points=prediction).nme()
