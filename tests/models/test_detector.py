"""The detector: shapes, initialization from a teacher, losses, metrics."""

from pathlib import Path

import pytest
import torch

from earcli import EarDetector, EarVAE
from earcli.errors import CheckpointError
from earcli.models.laterality import FEATURES, Laterality


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
    assert vae.laterality is not None
    assert loaded.laterality is not None
    assert torch.equal(loaded.laterality.direction, vae.laterality.direction)
    images, _ = vae.laterality.to_left(torch.rand(2, 3, 64, 64) * 2 - 1)
    with torch.no_grad():
        mean = loaded.encoder.mean(loaded.encoder.extract_features(images))
        assert torch.equal(mean, vae.eval().encode(images)[:, vae.skeleton_dim :])
        torch.testing.assert_close(loaded.decoder(mean), vae(images).deep)


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


def test_mirrored_pictures_get_mirrored_predictions(teacher: Path) -> None:
    vae = EarVAE.load_from_checkpoint(teacher)
    laterality = Laterality()
    laterality.direction.copy_(torch.randn(FEATURES, generator=torch.Generator().manual_seed(0)))
    detector = EarDetector(vae.encoder, vae.decoder, 5, laterality=laterality).eval()
    torch.nn.init.normal_(detector.heat.weight)  # predictions away from the middle
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        (boxes, points), (mirrored_boxes, mirrored_points) = detector(images), detector(images.flip(3))
    torch.testing.assert_close(mirrored_boxes[:, 0], 1 - boxes[:, 0] - boxes[:, 2], rtol=0, atol=1e-5)
    torch.testing.assert_close(mirrored_boxes[:, 1:], boxes[:, 1:], rtol=0, atol=1e-4)
    torch.testing.assert_close(mirrored_points[..., 0], 1 - points[..., 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(mirrored_points[..., 1:], points[..., 1:], rtol=0, atol=1e-4)
    assert (points[..., 0] - 0.5).abs().max() > 0.05
