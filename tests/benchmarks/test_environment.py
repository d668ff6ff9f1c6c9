"""Tests of `earcli/benchmarks/environment.py`."""

from earcli.benchmarks.environment import environment
from earcli.config.teacher import TrainConfig


def test_the_environment_says_which_weights_are_here(config: TrainConfig) -> None:
    facts = environment(config)
    assert facts["precision"] == "32"
    assert facts["ImageNet weights"] == "resnet18 not cached, vgg16 not cached"
