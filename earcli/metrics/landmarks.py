"""Errors of predicted points and boxes. Pure functions."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_convert

FAILURE_THRESHOLD = 0.1


def nme_each(points: Tensor, target: Tensor, labeled: Tensor, norm: Tensor) -> Tensor:
    """The normalized mean error of each ear, (B,): mean distance over its labeled points, divided by `norm`.

    Args:
        points: (B, K, 2), in pixels of the picture.
        target: (B, K, 2), in pixels of the picture.
        labeled: (B, K) bool; an ear without a labeled point gets NaN.
        norm: (B,), the normalizing length in pixels, such as the diagonal of the box.

    >>> nme_each(torch.zeros(1, 1, 2), torch.tensor([[[3.0, 4.0]]]), torch.tensor([[True]]), torch.tensor([10.0]))
    tensor([0.5000])
    """
    distance: Tensor = torch.linalg.vector_norm(points - target, dim=2)
    mean: Tensor = (distance * labeled).sum(1) / labeled.sum(1)  # 0 / 0 is NaN
    return mean / norm


def failure_rate(errors: NDArray[np.floating], threshold: float = FAILURE_THRESHOLD) -> float:
    """The fraction of ears whose NME is above `threshold`.

    >>> failure_rate(np.array([0.05, 0.2]))
    0.5
    """
    return float((errors > threshold).mean())


def error_auc(errors: NDArray[np.floating], threshold: float = FAILURE_THRESHOLD) -> float:
    """The area under the cumulative distribution of NMEs from 0 to `threshold`, divided by `threshold`; 1 is perfect.

    The empirical distribution is a step function, so its area is exact: the mean of 1 − error / threshold, at least 0.

    >>> error_auc(np.array([0.0, 0.05, 0.3]))
    0.5
    """
    return float((1 - errors / threshold).clip(0, 1).mean())


def iou_each(boxes: Tensor, target: Tensor) -> Tensor:
    """The intersection over union of pairs of boxes, (B,); both (B, 4) of x, y, width, height.

    >>> iou_each(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[0.0, 0, 2, 1]])).item()
    0.5
    """
    a, b = (box_convert(each, "xywh", "xyxy") for each in (boxes, target))
    overlap = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    intersection = overlap.clamp(min=0).prod(1)
    return intersection / (boxes[:, 2:].prod(1) + target[:, 2:].prod(1) - intersection)


def average_precision(
    boxes: Sequence[Tensor], scores: Sequence[Tensor], target: Sequence[Tensor]
) -> tuple[float, float]:
    """AP at an IoU of 0.5, and its mean over 0.5 to 0.95, as COCO defines them (cocodataset.org/#detection-eval).

    Args:
        boxes: For each picture (P, 4) predicted x, y, width, height.
        scores: For each picture (P,).
        target: For each picture (T, 4); T is 0 where there is no ear.
    """
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(box_format="xywh", iou_type="bbox", backend="faster_coco_eval")
    predictions = [
        {"boxes": b, "scores": s, "labels": torch.zeros(len(b), dtype=torch.int64)}
        for b, s in zip(boxes, scores, strict=True)
    ]
    metric.update(predictions, [{"boxes": t, "labels": torch.zeros(len(t), dtype=torch.int64)} for t in target])
    result = metric.compute()
    return float(result["map_50"]), float(result["map"])
