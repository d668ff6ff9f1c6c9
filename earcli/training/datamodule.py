"""The batches that Lightning gets, also when it starts in the middle of an epoch."""

from dataclasses import replace
from typing import Any

import numpy as np
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from earcli.data.batches import EpochBatches, PixelDataset, batch_loader
from earcli.data.manifest import Manifest
from earcli.training.module import epochs_done


class PixelDataModule(LightningDataModule):
    """Training and validation batches; needs a trainer with `reload_dataloaders_every_n_epochs=1`.

    Args:
        train: The training set.
        val: The validation set.
        batch_size: Samples per batch and process.
        seed: Of the order.
        length: Batches per training epoch; see `EpochBatches`.
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
        return batch_loader(self.train, self._train_batches(epochs_done(self.trainer), done))

    def val_dataloader(self) -> DataLoader[Any]:
        assert self.trainer is not None
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        return batch_loader(self.val, EpochBatches(len(self.val), self.batch_size, rank=rank, world_size=world_size))

    def step_manifest(self, epoch: int, batch: int, accumulate: int) -> Manifest:
        """The samples, on all ranks, of the optimizer step that a batch belongs to, with absolute paths.

        Args:
            epoch: Number of the epoch.
            batch: Number of the batch in the epoch.
            accumulate: Batches per step.
        """
        batches = self._train_batches(epoch)
        first = batch // accumulate * accumulate
        numbers = range(first, min(first + accumulate, len(batches)))
        samples = self.train.manifest.subset(np.concatenate([batches.global_batch(number) for number in numbers]))
        return replace(samples, paths=[str(samples.locate(row).absolute()) for row in range(len(samples))])

    def _train_batches(self, epoch: int, start: int = 0) -> EpochBatches:
        assert self.trainer is not None
        return EpochBatches(
            len(self.train),
            self.batch_size,
            seed=self.seed,
            epoch=epoch,
            start=start,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            length=self.length,
        )
