"""Tests of `earcli/config/presets.py`."""

import pytest

from earcli.config.presets import PRESETS
from earcli.config.teacher import TrainConfig


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_small_ones_download_nothing(preset: str) -> None:
    config = TrainConfig.resolve(preset, {}, {})
    if preset != "full":
        assert (config.weights, config.perceptual_weights) == ("none", "none")
