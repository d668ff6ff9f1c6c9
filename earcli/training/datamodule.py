"""Which batches Lightning gets, also when it starts in the middle of an epoch."""

from typing import Any

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from earcli.data.batches import EpochBatches, PixelDataset, batch_loader
from earcli.training.base import epochs_done


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

    def _loader(self, dataset: PixelDataset, order: tuple[int, int] | None, start: int) -> DataLoader[Any]:
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        batches = EpochBatches(len(dataset), self.batch_size, order, start, rank, world, self.length)
        return batch_loader(dataset, batches)
