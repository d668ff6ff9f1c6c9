"""Tests of `earcli/analysis/detection.py`."""

import numpy as np
import pytest
import torch

from earcli.analysis.detection import DetectionResults


def test_normalizers() -> None:
    findings = DetectionResults(
        boxes=torch.tensor([[0.0, 0.0, 30.0, 40.0]]),
        scores=torch.tensor([0.9]),
        points=torch.tensor([[[0.0, 0.0], [10.0, 0.0], [5.0, 5.0]]]),
        visibility=torch.ones(1, 3),
        target_boxes=torch.tensor([[0.0, 0.0, 30.0, 40.0]]),
        target_points=torch.tensor([[[0.0, 1.0], [10.0, 1.0], [5.0, 6.0]]]),
        labeled=torch.tensor([[True, True, False]]),
        has_ear=torch.tensor([True]),
        window=torch.tensor([[0.0, 0.0, 25.0, 100.0]]),
    )
    assert findings.nme().item() == pytest.approx(1 / 50)
    assert findings.nme("crop").item() == pytest.approx(1 / 50)
    assert findings.nme("1,2").item() == pytest.approx(1 / 10)
    assert np.isnan(findings.nme("1,3")).all()
    assert findings.summary()["iou"] == pytest.approx(1)
