"""Tests of `earcli/losses/detection.py`."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import generalized_box_iou_loss

from earcli.losses.detection import Target, detection_losses

WEIGHTS = {"landmark": 1.0, "box": 1.0, "confidence": 1.0}


def make_target() -> Target:
    boxes = torch.tensor([[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 0.4, 0.4], [0.0, 0.0, 0.0, 0.0]])
    points = torch.tensor([[[0.2, 0.3], [0.5, 0.5]], [[0.1, 0.1], [0.9, 0.9]], [[0.0, 0.0], [0.0, 0.0]]])
    labeled = torch.tensor([[True, True], [True, False], [False, False]])
    visible = torch.tensor([[True, False], [True, False], [False, False]])
    return Target(boxes, points, labeled, visible, ear=torch.tensor([True, True, False]))


def test_each_term_is_what_its_formula_gives() -> None:
    rng = torch.Generator().manual_seed(0)
    boxes = torch.cat([torch.rand(3, 4, generator=rng) * 0.4 + 0.1, torch.randn(3, 1, generator=rng)], 1)
    keypoints = torch.rand(3, 2, 3, generator=rng)
    target = make_target()
    terms = detection_losses(boxes, keypoints, target, WEIGHTS).terms
    labeled = [(0, 0), (0, 1), (1, 0)]
    each = [F.smooth_l1_loss(keypoints[i, k, :2], target.points[i, k], beta=0.02, reduction="sum") for i, k in labeled]
    assert terms["landmark"].item() == pytest.approx(float(torch.stack(each).mean()), rel=1e-6)
    corners = [torch.cat([b[:2, :2], b[:2, :2] + b[:2, 2:4]], 1) for b in (boxes, target.boxes)]
    apart = generalized_box_iou_loss(*corners, reduction="mean") + (corners[0] - corners[1]).abs().mean()
    assert terms["box"].item() == pytest.approx(float(apart), rel=1e-6)
    sure = F.binary_cross_entropy_with_logits(boxes[:, 4], torch.tensor([1.0, 1.0, 0.0]))
    seen = torch.stack([keypoints[i, k, 2] for i, k in labeled])
    sure = sure + F.binary_cross_entropy_with_logits(seen, torch.tensor([1.0, 0.0, 1.0]))
    assert terms["confidence"].item() == pytest.approx(float(sure), rel=1e-6)


def test_a_perfect_answer_costs_nothing_but_doubt_and_pictures_without_an_ear_only_doubt() -> None:
    target = make_target()
    boxes = torch.cat([target.boxes, torch.full((3, 1), 20.0)], 1)
    keypoints = torch.cat([target.points, torch.full((3, 2, 1), 20.0)], 2)
    terms = detection_losses(boxes, keypoints, target, WEIGHTS).terms
    assert terms["landmark"] == 0
    assert terms["box"].item() == pytest.approx(0, abs=1e-6)
    empty = Target(*(value[2:] for value in target))
    prediction = (boxes[2:].requires_grad_(), keypoints[2:].requires_grad_())
    losses = detection_losses(*prediction, empty, WEIGHTS)
    losses.total.backward()
    assert prediction[0].grad is not None
    assert prediction[0].grad[0, 4] > 0
    assert not prediction[0].grad[0, :4].any()
    assert prediction[1].grad is not None
    assert not prediction[1].grad.any()
