"""Tests of `earcli/cli/knob_options.py`."""

from typing import Any, get_args

import pytest
import typer

from earcli.cli.knob_options import knob_options
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import TrainConfig


def options(*kinds: Any, resumable_only: bool = False) -> dict[str, Any]:
    return {p.name: (p.default, *get_args(p.annotation)) for p in knob_options(kinds, resumable_only)}


def test_each_knob_is_an_option_with_its_default_and_its_group() -> None:
    found = options(TrainConfig)
    default, kind, option = found["latent_dim"]
    assert (default, kind, option.default) == (TrainConfig().latent_dim, int, "--latent-dim")
    assert option.show_default
    assert option.rich_help_panel
    assert "--" in found["weights"][2].help or "`" not in found["weights"][2].help
    assert found.keys() >= {"batch_size", "center_weight", "kl_anneal_threshold_psnr"}


def test_a_resumed_run_takes_the_knobs_of_both_kinds_that_may_change() -> None:
    found = options(TrainConfig, FinetuneConfig, resumable_only=True)
    assert "epochs" in found
    assert found.keys().isdisjoint({"latent_dim", "seed", "landmarks"})
    assert not any(option.show_default for _, _, option in found.values())


def test_a_number_may_be_a_word() -> None:
    parse = options(TrainConfig)["batch_size"][2].parser
    assert parse("8") == 8
    assert isinstance(parse("auto"), int)
    with pytest.raises(typer.BadParameter, match="'many' is not a valid integer or auto"):
        parse("many")


def test_a_switch_that_may_be_on_by_default_can_be_turned_off() -> None:
    assert options(FinetuneConfig)["mirror_right"][2].default == "--mirror-right/--no-mirror-right"
    assert options(TrainConfig)["low_memory"][2].default == "--low-memory"
    resumed = options(TrainConfig, FinetuneConfig, resumable_only=True)
    assert resumed["low_memory"][2].default == "--low-memory/--no-low-memory"


def test_a_flag_is_taken_under_its_former_name() -> None:
    option = options(TrainConfig)["encoder"][2]
    assert (option.default, option.param_decls) == ("--encoder", ("--resnet-version",))
