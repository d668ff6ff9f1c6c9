"""`--batch-size auto`: the largest batch that this GPU has room for."""

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

STEPS = 3
Config = TypeVar("Config", bound=AnyRunConfig)


def check_batch_size(config: AnyRunConfig) -> None:
    """Finds out before any work whether a batch size can be found here.

    Raises:
        ConfigError: `auto` without CUDA.
    """
    if config.batch_size == AUTO and not torch.cuda.is_available():
        raise ConfigError(
            "--batch-size auto needs CUDA: a CPU that runs out of memory does not say so, its process is killed. "
            "Give a number."
        )


def largest_batch(
    config: Config, trainer: "Trainer", make: "Callable[[Config, int], tuple[EarModule, PixelDataModule]]"
) -> int:
    """The most pictures with which some steps and a validation fit, less Lightning's margin of 5%; at most the set.

    Args:
        trainer: one for this search alone; its folder takes a checkpoint for as long.
        make: gives what is trained, and the data, for a number of processes.

    Raises:
        ConfigError: there is no CUDA, or there are several devices.
    """
    from pytorch_lightning.tuner.tuning import Tuner

    check_batch_size(config)
    if trainer.world_size > 1:
        raise ConfigError("--batch-size auto knows one device. Find it with --devices 1, then give the number.")
    module, data = make(replace(config, batch_size=1), 1)
    data.length = STEPS * config.accumulate  # batches in an epoch, at whose end it validates
    most = len(data.train)
    # Lightning never goes down from a size that the set does not fill, and returns the largest allowed one untried
    data.train = _Again(data.train, 2 * most + 1)
    found = Tuner(trainer).scale_batch_size(
        module, datamodule=data, mode="binsearch", steps_per_trial=STEPS, init_val=1, max_val=2 * most
    )
    assert found is not None
    return min(found, most)


class _Again(PixelDataset):
    """A set gone through again and again, up to a length."""

    def __init__(self, dataset: PixelDataset, length: int) -> None:
        super().__init__(dataset.pixels, dataset.columns, dataset.manifest)
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        return super().__getitem__(indices % len(self.pixels))
