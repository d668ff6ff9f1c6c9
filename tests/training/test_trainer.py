"""Tests of `earcli/training/trainer.py`."""

import logging
import warnings
from dataclasses import replace

import pytest
from pytorch_lightning import Callback

from earcli.config.teacher import TrainConfig
from earcli.errors import ConfigError
from earcli.training.trainer import make_trainer, quiet_lightning

CONFIG = TrainConfig(epochs=7, accumulate=3, precision="bf16-mixed", devices="1")


def test_the_trainer_has_the_knobs_of_the_run_and_writes_nothing_itself() -> None:
    callback = Callback()
    with quiet_lightning():
        trainer = make_trainer(CONFIG, [callback], "folder")
    assert (trainer.max_epochs, trainer.accumulate_grad_batches, trainer.world_size) == (7, 3, 1)
    assert trainer.precision == "bf16-mixed"
    assert trainer.default_root_dir.endswith("folder")
    assert callback in trainer.callbacks
    assert (trainer.loggers, trainer.checkpoint_callbacks, trainer.progress_bar_callback) == ([], [], None)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"strategy": "fsdp"}, r"^`strategy` must be auto or ddp, got fsdp: clipping .* fsdp and deepspeed shard\.$"),
        ({"devices": "many"}, "^`devices` many, `strategy` auto: .* should be an int"),
        ({"devices": "0"}, "^`devices` 0, `strategy` auto: "),
        ({"devices": "-2", "strategy": "ddp"}, "^`devices` -2, `strategy` ddp: "),
    ],
)
def test_devices_that_cannot_be_used_are_refused_in_one_line(knobs: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught, quiet_lightning():
        make_trainer(replace(CONFIG, **knobs), [])  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_expected_warnings_are_silenced_and_no_others() -> None:
    with quiet_lightning():
        warnings.warn("The 'train_dataloader' does not have many workers which may be a bottleneck.", stacklevel=1)
        with pytest.warns(UserWarning, match="something else"):
            warnings.warn("something else", stacklevel=1)
    with pytest.warns(UserWarning, match="many workers"):
        warnings.warn("The 'train_dataloader' does not have many workers which may be a bottleneck.", stacklevel=1)


def test_the_loggers_of_lightning_get_their_levels_back(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("pytorch_lightning")
    caplog.set_level(logging.DEBUG, "pytorch_lightning")
    with pytest.raises(KeyError), quiet_lightning():  # noqa: PT012 - an error inside is the point
        assert not logger.isEnabledFor(logging.INFO)
        assert logger.isEnabledFor(logging.WARNING)
        raise KeyError
    assert logger.level == logging.DEBUG
