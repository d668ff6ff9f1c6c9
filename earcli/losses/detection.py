"""The objective of detectors. Coordinates are fractions of the image's sides."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou_loss

from earcli.losses.objective import Losses

TERMS = ("landmark", "box", "confidence")
SMOOTH_BELOW = 0.02


def detection_losses(
    boxes: Tensor,
    keypoints: Tensor,
    wanted_boxes: Tensor,
    wanted_points: Tensor,
    labeled: Tensor,
    visible: Tensor,
    ear: Tensor,
    weights: dict[str, float],
) -> Losses:
    """w_l·landmark + w_b·box + w_c·confidence.

    `landmark` is the smooth L1 distance (Girshick 2015, arXiv:1504.08083, eq. 3) of labeled points, quadratic below
    0.02 of the side, summed over x and y. `box` is GIoU (Rezatofighi et al. 2019, arXiv:1902.09630) plus the mean L1 of
    the corners' coordinates. `confidence` is the binary cross entropy of there being an ear, plus that of labeled
    points being visible. A term without anything to learn from is 0.

    Args:
        boxes, keypoints: what the detector gave, (B, 5) and (B, K, 3).
        wanted_boxes: (B, 4) x, y, width, height.
        wanted_points: (B, K, 2).
        labeled, visible: (B, K) bool.
        ear: (B,) bool.
        weights: by the names of the terms.
    """
    distance = F.smooth_l1_loss(keypoints[..., :2], wanted_points, beta=SMOOTH_BELOW, reduction="none").sum(2)
    found, wanted = (box_convert(b[:, :4], "xywh", "xyxy") for b in (boxes, wanted_boxes))
    apart = generalized_box_iou_loss(found, wanted, reduction="none") + (found - wanted).abs().mean(1)
    doubt = F.binary_cross_entropy_with_logits(boxes[:, 4], ear.float(), reduction="none")
    hidden = F.binary_cross_entropy_with_logits(keypoints[..., 2], visible.float(), reduction="none")
    terms = {
        "landmark": _mean(distance, labeled),
        "box": _mean(apart, ear),
        "confidence": _mean(doubt, torch.ones_like(ear)) + _mean(hidden, labeled),
    }
    total = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
    return Losses(total, terms)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    # a product, because picking values out would have to wait for the device
    return (values * chosen).sum() / chosen.sum().clamp(min=1)
