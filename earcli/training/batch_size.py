"""Finds the largest batch that fits into the memory of this GPU, for `batch_size` auto."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earcli.config.teacher import AUTO, AnyRunConfig
from earcli.data.batches import PixelDataset
from earcli.errors import ConfigError

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

    from earcli.training.datamodule import PixelDataModule
    from earcli.training.module import EarModule

TRIAL_STEPS = 3
Config = TypeVar("Config", bound=AnyRunConfig)


def check_batch_size(config: AnyRunConfig) -> None:
    """Checks, before any work, whether this machine can search for a batch size.

    Raises:
        ConfigError: `batch_size` is auto, and there is no CUDA.
    """
    if config.batch_size == AUTO and not torch.cuda.is_available():
        raise ConfigError(
            "`batch_size` auto needs CUDA: a process that exhausts the memory of a CPU is killed without an error. "
            "Set a number."
        )


def find_largest_batch(
    config: Config, trainer: "Trainer", build: "Callable[[Config, int], tuple[EarModule, PixelDataModule]]"
) -> int:
    """The largest batch for which a few steps and a validation fit, minus Lightning's margin of 5%, at most the set.

    Args:
        config: The configuration of the run.
        trainer: Only for this search; a temporary checkpoint is written to its folder.
        build: Returns the module and the data for a configuration and a world size.

    Raises:
        ConfigError: There is no CUDA, or there are several devices.
    """
    from pytorch_lightning.tuner.tuning import Tuner

    check_batch_size(config)
    if trainer.world_size > 1:
        raise ConfigError("`batch_size` auto works with one device. Find it with `devices` 1, then set the number.")
    module, data = build(replace(config, batch_size=1), 1)
    data.length = TRIAL_STEPS * config.accumulate  # batches in an epoch, at whose end it validates
    count = len(data.train)
    # Lightning never reduces a size that exceeds the set, and returns the largest allowed one without a trial
    data.train = _RepeatedDataset(data.train, 2 * count + 1)
    size = Tuner(trainer).scale_batch_size(
        module, datamodule=data, mode="binsearch", steps_per_trial=TRIAL_STEPS, init_val=1, max_val=2 * count
    )
    assert size is not None
    return min(size, count)


class _RepeatedDataset(PixelDataset):
    """A dataset that repeats its samples up to a length."""

    def __init__(self, dataset: PixelDataset, length: int) -> None:
        super().__init__(dataset.pixels, dataset.columns, dataset.manifest)
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        return super().__getitem__(indices % len(self.pixels))
