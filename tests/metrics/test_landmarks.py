"""Tests of `earcli/metrics/landmarks.py`."""

import numpy as np
import pytest
import torch

from earcli.metrics.landmarks import average_precision, error_auc, failure_rate, iou_each, nme_each


def test_nme_counts_labeled_points_only() -> None:
    points = torch.tensor([[[0.0, 0.0], [3.0, 4.0]], [[1.0, 1.0], [2.0, 2.0]]])
    truth = torch.zeros(2, 2, 2)
    visible = torch.tensor([[True, True], [False, False]])
    errors = nme_each(points, truth, visible, torch.tensor([10.0, 10.0]))
    assert errors[0].item() == pytest.approx(0.25)
    assert errors[1].isnan()


def test_the_auc_is_the_integral_of_the_error_curve() -> None:
    errors = np.random.default_rng(0).gamma(2, 0.03, 500)
    grid = np.linspace(0, 0.1, 20001)
    curve = (errors[None] <= grid[:, None]).mean(axis=1)
    assert error_auc(errors) == pytest.approx(np.trapezoid(curve, grid) / 0.1, abs=1e-4)
    assert failure_rate(errors) == pytest.approx(1 - curve[-1])


def test_iou_and_average_precision_are_cocos() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0]])
    other = torch.tensor([[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 10.0, 10.0]])
    assert iou_each(boxes, other).tolist() == pytest.approx([1, 1 / 3])
    # a true positive, a miss, and the most confident one a false positive: precision 1/2 up to recall 1/2
    boxes_of_pictures, scores = [boxes[:1], boxes[1:], boxes[:1]], [torch.tensor([s]) for s in (0.8, 0.5, 0.9)]
    truth = [boxes[:1], torch.tensor([[50.0, 50.0, 10.0, 10.0]]), boxes[:0]]
    at_half, mean = average_precision(boxes_of_pictures, scores, truth)
    assert at_half == mean == pytest.approx(0.5 * 51 / 101, abs=1e-3)  # 101 points of recall
