"""Which batches Lightning gets, also when it starts in the middle of an epoch."""

from dataclasses import replace
from typing import Any

import numpy as np
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from earcli.data.batches import EpochBatches, PixelDataset, batch_loader
from earcli.data.manifest import Manifest
from earcli.training.module import epochs_done


class PixelDataModule(LightningDataModule):
    """Cached pixels to train and to validate on; wants `reload_dataloaders_every_n_epochs=1`.

    Args:
        length: see `EpochBatches`.
    """

    def __init__(
        self, train: PixelDataset, val: PixelDataset, batch_size: int, seed: int, length: int | None = None
    ) -> None:
        super().__init__()
        self.train, self.val, self.batch_size, self.seed, self.length = train, val, batch_size, seed, length

    def train_dataloader(self) -> DataLoader[Any]:
        assert self.trainer is not None
        loop = self.trainer.fit_loop
        done = loop.epoch_loop.batch_progress.current.processed if loop.restarting else 0  # type: ignore[attr-defined]
        return self._loader(self.train, (self.seed, epochs_done(self.trainer)), done)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.val, None, 0)

    def step_manifest(self, epoch: int, batch: int, accumulate: int, world_size: int) -> Manifest:
        """The samples of the step that a batch of training belongs to, those of all processes; their paths absolute."""
        batches = EpochBatches(len(self.train), self.batch_size, (self.seed, epoch), 0, 0, world_size, self.length)
        first = batch // accumulate * accumulate
        numbers = range(first, min(first + accumulate, len(batches)))
        chosen = self.train.manifest.subset(np.concatenate([batches.whole(number) for number in numbers]))
        return replace(chosen, paths=[str(chosen.locate(row).absolute()) for row in range(len(chosen))])

    def _loader(self, dataset: PixelDataset, order: tuple[int, int] | None, start: int) -> DataLoader[Any]:
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        batches = EpochBatches(len(dataset), self.batch_size, order, start, rank, world, self.length)
        return batch_loader(dataset, batches)
