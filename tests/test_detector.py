"""The detector: shapes, initialization from a teacher, losses, metrics."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import generalized_box_iou_loss

from earcli import EarDetector, EarVAE
from earcli.analysis.detection import DetectionResults
from earcli.errors import CheckpointError
from earcli.losses.detection import Target, detection_losses
from earcli.metrics.landmarks import average_precision, error_auc, failure_rate, iou_each, nme_each

WEIGHTS = {"landmark": 1.0, "box": 1.0, "confidence": 1.0}


@pytest.mark.parametrize("points", [0, 17, 21, 55])
@pytest.mark.parametrize("side", [64, 96])
def test_boxes_and_key_points_for_any_number_and_size(teacher: Path, points: int, side: int) -> None:
    detector = EarDetector.from_vae_checkpoint(teacher, points).eval()
    with torch.no_grad():
        boxes, keypoints = detector(torch.rand(2, 3, side, side) * 2 - 1)
    assert boxes.shape == (2, 5)
    assert keypoints.shape == (2, points, 3)
    assert boxes.isfinite().all()
    assert ((keypoints[..., :2] > 0) & (keypoints[..., :2] < 1)).all()


def test_it_takes_what_the_teacher_knows(teacher: Path) -> None:
    vae = EarVAE.load_from_checkpoint(teacher)
    detector = EarDetector(pretrained_encoder=vae.encoder)
    assert detector.encoder is vae.encoder
    assert detector.num_landmarks == 17
    loaded = EarDetector.from_vae_checkpoint(teacher).eval()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        assert torch.equal(loaded.encoder.mean(loaded.encoder.extract_features(images)), vae.eval().encode(images))
        assert torch.equal(loaded.decoder(vae.encode(images)), vae(images).reconstruction)


def test_a_frozen_teacher_stays_as_it_is_and_the_heads_learn(teacher: Path) -> None:
    detector = EarDetector.from_vae_checkpoint(teacher, 3, freeze_encoder=True).train()
    kept = {name: value.clone() for name, value in detector.encoder.state_dict().items()}
    boxes, keypoints = detector(torch.rand(4, 3, 64, 64) * 2 - 1)
    (boxes.sum() + keypoints.sum()).backward()
    for name, parameter in detector.named_parameters():
        assert (parameter.grad is None) == name.startswith(("encoder.", "decoder.")), name
    assert all(torch.equal(kept[name], value) for name, value in detector.encoder.state_dict().items())


def test_coordinates_are_not_rounded_under_mixed_precision(teacher: Path) -> None:
    detector = EarDetector.from_vae_checkpoint(teacher, 40).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        keypoints = detector(torch.rand(4, 3, 64, 64) * 2 - 1).keypoints[..., :2]
    assert keypoints.dtype == torch.float32
    assert (keypoints.bfloat16().float() != keypoints).float().mean() > 0.9


def test_a_teacher_with_frozen_layers_is_fine_tuned_whole(teacher: Path) -> None:
    vae = EarVAE.load_from_checkpoint(teacher)
    vae.encoder.freeze(2)
    assert all(p.requires_grad for p in EarDetector(vae.encoder, vae.decoder).encoder.backbone_parameters())


def test_gradients_reach_everything_that_is_used(teacher: Path) -> None:
    detector = EarDetector.from_vae_checkpoint(teacher, 3).train()
    boxes, keypoints = detector(torch.rand(4, 3, 64, 64) * 2 - 1)
    (boxes.square().sum() + keypoints.square().sum()).backward()
    silent = [name for name, p in detector.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []
    unused = {name.rpartition(".")[0] for name, p in detector.named_parameters() if not p.requires_grad}
    last = {"decoder.stages.4.0", "decoder.stages.4.1"}
    assert unused == {"encoder.logvar_head", "decoder.to_rgb", "decoder.sketch"} | last


def test_a_teacher_is_no_detector(teacher: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is a teacher's checkpoint, expected a detector's. .*ear finetune"):
        EarDetector.load_from_checkpoint(teacher)


# -- losses


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


# -- figures


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
