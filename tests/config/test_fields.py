"""Knobs: their checks, their precedence, and what reads and writes them."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from earcli.config.teacher import AUTO, TrainConfig
from earcli.errors import ConfigError


def test_a_flag_wins_over_the_file_the_file_over_the_preset_the_preset_over_the_default() -> None:
    config = TrainConfig.resolve("small", {"lr": 0.5, "latent_dim": 7}, {"lr": 0.25})
    assert (config.lr, config.latent_dim, config.image_size, config.seed) == (0.25, 7, 64, 0)


@pytest.mark.parametrize(
    ("knob", "value", "message"),
    [
        ("kl_anneal_epochs", -3, "`kl_anneal_epochs` must be 0 or more, got -3."),
        ("image_size", 100, "`image_size` must be a multiple of 32 from 64 to 256, got 100."),
        ("freeze_layers", 5, "`freeze_layers` must be between 0 and 4, got 5."),
        ("lr", 0.0, "`lr` must be more than 0, got 0.0."),
        ("lr", float("inf"), "`lr` must be a finite number, got inf."),
        ("kl_weight", float("nan"), "`kl_weight` must be a finite number, got nan."),
        ("ema_decay", 1.0, "`ema_decay` must be 0 or more and less than 1, got 1.0."),
        ("run_name", "a/b", "`run_name` must be a plain folder name, got 'a/b'."),
        ("limit_train", 0, "`limit_train` must be 1 or more, got 0."),
    ],
)
def test_a_value_that_cannot_be_names_its_flag(knob: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.resolve("full", {}, {knob: value})
    assert str(caught.value) == message


def test_what_is_printed_can_be_read_back(tmp_path: Path) -> None:
    config = dataclasses.replace(TrainConfig(), root_dir=Path("x"), precision="32", lr=1e-5, limit_val=3)
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert TrainConfig.resolve("full", TrainConfig.read_file(path), {}) == config
    assert all(isinstance(v, str | int | float | bool | None) for v in config.to_dict().values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latent_dims: 3", "did you mean latent_dim?"),
        ("latent_dim: many", "latent_dim must be of type int, got 'many'."),
        ("latent_dim: true", "latent_dim must be of type int, got True."),
        ("augment: wild", "augment must be one of none, light, strong, got 'wild'."),
        ("- a\n- b", "must hold `name: value` lines, got list."),
        ("a: [", "is not YAML"),
    ],
)
def test_a_file_of_knobs_that_is_wrong_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        TrainConfig.read_file(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_batch_size_may_be_a_word(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("batch_size: auto")
    assert TrainConfig.read_file(tmp_path / "config.yaml") == {"batch_size": AUTO}


def test_yaml_cannot_build_objects(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("lr: !!python/object/apply:os.system ['touch pwned']")
    with pytest.raises(ConfigError):
        TrainConfig.read_file(path)
    assert isinstance(yaml.safe_load(TrainConfig().to_yaml())["lr"], float)


def test_a_knob_is_taken_under_its_former_name(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("resnet_version: resnet18")
    assert TrainConfig.resolve("full", TrainConfig.read_file(path), {}).encoder == "resnet18"
    assert TrainConfig.resolve("full", {}, {"resnet_version": "resnet34"}).encoder == "resnet34"
    with pytest.raises(ConfigError, match="'resnet_version' is encoder, which was given"):
        TrainConfig.parse_values({"encoder": "resnet18", "resnet_version": "resnet18"})


def test_a_misspelt_encoder_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"must be resnet18 to resnet152 or timm:NAME \(the nearest is resnet"):
        TrainConfig.resolve("full", {}, {"encoder": "resnet51"})
