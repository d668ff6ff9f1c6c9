"""Tests of `earcli/config/detector.py`."""

import pytest

from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import TrainConfig
from earcli.errors import ConfigError

TEACHER = TrainConfig(image_size=96, latent_dim=32, encoder="resnet34")


def test_a_detector_takes_the_architecture_of_its_teacher() -> None:
    config = FinetuneConfig(lr=0.5)
    settled = config.settled(TEACHER, ["tip", "lobe"])
    assert (settled.teacher_size, settled.latent_dim, settled.encoder) == (96, 32, "resnet34")
    assert (settled.image_size, settled.landmarks, settled.point_names) == (96, 2, ("tip", "lobe"))
    assert (settled.side, settled.num_landmarks, settled.lr) == (96, 2, 0.5)
    assert (config.is_settled, settled.is_settled) == (False, True)
    built = settled.teacher_config
    assert (built.image_size, built.latent_dim, built.encoder) == (96, 32, "resnet34")
    assert settled.settled(TEACHER, ["tip", "lobe"]) == settled


def test_without_a_teacher_the_knobs_and_then_the_defaults_count() -> None:
    settled = FinetuneConfig(init="none", latent_dim=7, image_size=64).settled(None, [])
    assert (settled.latent_dim, settled.teacher_size, settled.encoder) == (7, 128, "resnet50")
    assert (settled.side, settled.num_landmarks, settled.point_names) == (64, 0, ())
    assert settled.is_settled


def test_names_are_those_given_or_those_in_the_labels_without_commas() -> None:
    assert FinetuneConfig().settled(TEACHER, ["tip, upper", "lobe"]).point_names == ("tip  upper", "lobe")
    renamed = FinetuneConfig(landmark_names="a,b").settled(TEACHER, ["tip", "lobe"])
    assert renamed.point_names == ("a", "b")


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"latent_dim": 8}, "`latent_dim` is 8, but the teacher's is 32. Omit it."),
        ({"teacher_size": 64}, "`teacher_size` is 64, but the teacher's is 96. Omit it."),
        ({"encoder": "resnet18"}, "`encoder` is resnet18, but the teacher's is resnet34. Omit it."),
        ({"landmark_names": "a,b,c"}, "`landmark_names` has 3 names, but the labels have 2 points."),
        ({"init": "imagenet", "freeze_encoder": True}, "`freeze_encoder` needs a teacher, and `init` is imagenet."),
    ],
)
def test_a_knob_that_contradicts_the_teacher_or_the_labels_is_refused(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FinetuneConfig.resolve("full", {}, knobs).settled(TEACHER, ["tip", "lobe"])
    assert str(caught.value) == message


def test_only_a_crop_has_a_margin() -> None:
    assert FinetuneConfig(margin=0.3).view_margin == 0.3
    assert FinetuneConfig(margin=0.3, view="picture").view_margin is None
