"""The objective of detectors. Coordinates are fractions of the image's width and height."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou_loss

from earcli.losses.objective import Losses

TERMS = ("landmark", "box", "confidence")
SMOOTH_L1_BETA = 0.02


class Target(NamedTuple):
    """The ground truth of a batch of images; coordinates are fractions of their width and height.

    Attributes:
        boxes: (B, 4) x, y, width, height; finite, and ignored where `ear` is False.
        points: (B, K, 2) x and y.
        labeled: (B, K) bool, the points that are annotated and inside the image.
        visible: (B, K) bool, the labeled points that are not occluded.
        ear: (B,) bool, the images that show an ear.
    """

    boxes: Tensor
    points: Tensor
    labeled: Tensor
    visible: Tensor
    ear: Tensor


def detection_losses(boxes: Tensor, keypoints: Tensor, target: Target, weights: Mapping[str, float]) -> Losses:
    """w_l·landmark + w_b·box + w_c·confidence.

    `landmark` is the smooth L1 distance (Girshick 2015, arXiv:1504.08083, eq. 3) of labeled points with β = 0.02,
    summed over x and y. `box` is the GIoU loss (Rezatofighi et al. 2019, arXiv:1902.09630) plus the mean L1 distance of
    the corners' coordinates. `confidence` is the binary cross entropy of the ear logit, plus that of the visibility
    logits of labeled points. A term without targets is 0.

    Args:
        boxes: Predicted (B, 5) x, y, width, height and ear logit.
        keypoints: Predicted (B, K, 3) x, y and visibility logit.
        target: The ground truth.
        weights: By the names of the terms.

    >>> target = Target(torch.ones(1, 4), torch.ones(1, 2, 2), *torch.ones(2, 1, 2).bool(), torch.tensor([True]))
    >>> losses = detection_losses(torch.ones(1, 5), torch.ones(1, 2, 3), target, dict.fromkeys(TERMS, 1.0))
    >>> {name: round(value.item(), 3) for name, value in losses.terms.items()}
    {'landmark': 0.0, 'box': 0.0, 'confidence': 0.627}
    """
    point_distance = F.smooth_l1_loss(keypoints[..., :2], target.points, beta=SMOOTH_L1_BETA, reduction="none").sum(2)
    predicted, expected = (box_convert(b[:, :4], "xywh", "xyxy") for b in (boxes, target.boxes))
    corner_distance = (predicted - expected).abs().mean(1)
    box_distance = generalized_box_iou_loss(predicted, expected, reduction="none") + corner_distance
    ear = F.binary_cross_entropy_with_logits(boxes[:, 4], target.ear.float(), reduction="none")
    visibility = F.binary_cross_entropy_with_logits(keypoints[..., 2], target.visible.float(), reduction="none")
    terms = {
        "landmark": _masked_mean(point_distance, target.labeled),
        "box": _masked_mean(box_distance, target.ear),
        "confidence": ear.mean() + _masked_mean(visibility, target.labeled),
    }
    total = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
    return Losses(total, terms)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    # a product, because indexing by a mask would synchronize with the device
    return (values * mask).sum() / mask.sum().clamp(min=1)
