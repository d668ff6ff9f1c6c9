"""How far predicted points and boxes are from labeled ones. Pure functions."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_convert

FAILED_ABOVE = 0.1


def nme_each(points: Tensor, wanted: Tensor, visible: Tensor, norm: Tensor) -> Tensor:
    """The normalized mean error of every ear, (B,): mean distance over its labeled points, divided by `norm`.

    Args:
        points, wanted: (B, K, 2), in pixels of the picture.
        visible: (B, K) bool, the points that are labeled; an ear without any gets NaN.
        norm: (B,), the length that errors are shares of, in pixels, such as the diagonal of the box.
    """
    distance: Tensor = torch.linalg.vector_norm(points - wanted, dim=2)
    mean: Tensor = (distance * visible).sum(1) / visible.sum(1)  # 0 / 0 is NaN
    return mean / norm


def failure_rate(errors: NDArray[np.floating], above: float = FAILED_ABOVE) -> float:
    """The share of ears whose NME is more than `above`."""
    return float((errors > above).mean())


def error_auc(errors: NDArray[np.floating], up_to: float = FAILED_ABOVE) -> float:
    """The area under the cumulative distribution of NMEs from 0 to `up_to`, divided by `up_to`; 1 is perfect.

    Of a sample the curve is a step function, so its area is exact: the mean of what each error leaves of `up_to`.
    """
    return float((1 - errors / up_to).clip(0, 1).mean())


def iou_each(boxes: Tensor, wanted: Tensor) -> Tensor:
    """The intersection over union of pairs of boxes, (B,); both (B, 4) of x, y, width, height."""
    a, b = (box_convert(each, "xywh", "xyxy") for each in (boxes, wanted))
    sides = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    inner = sides.clamp(min=0).prod(1)
    return inner / (boxes[:, 2:].prod(1) + wanted[:, 2:].prod(1) - inner)


def average_precision(
    boxes: Sequence[Tensor], scores: Sequence[Tensor], wanted: Sequence[Tensor]
) -> tuple[float, float]:
    """AP at an IoU of 0.5, and its mean over 0.5 to 0.95, as COCO defines them (cocodataset.org/#detection-eval).

    Args:
        boxes: of every picture (P, 4), x, y, width, height.
        scores: of every picture (P,).
        wanted: of every picture (W, 4); W is 0 where there is no ear.
    """
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(box_format="xywh", iou_type="bbox", backend="faster_coco_eval")
    found = [
        {"boxes": b, "scores": s, "labels": torch.zeros(len(b), dtype=torch.int64)}
        for b, s in zip(boxes, scores, strict=True)
    ]
    metric.update(found, [{"boxes": w, "labels": torch.zeros(len(w), dtype=torch.int64)} for w in wanted])
    result = metric.compute()
    return float(result["map_50"]), float(result["map"])
