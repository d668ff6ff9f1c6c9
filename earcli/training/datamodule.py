"""Which batches Lightning gets, also when it starts in the middle of an epoch."""

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from earcli.data.batches import Batch, EpochBatches, batch_loader
from earcli.data.cache import Crops
from earcli.training.base import epochs_done


class CropDataModule(LightningDataModule):
    """Cached crops to train and to validate on; wants `reload_dataloaders_every_n_epochs=1`."""

    def __init__(self, train: Crops, val: Crops, batch_size: int, seed: int) -> None:
        super().__init__()
        self.train, self.val, self.batch_size, self.seed = train, val, batch_size, seed

    def train_dataloader(self) -> DataLoader[Batch]:
        assert self.trainer is not None
        loop = self.trainer.fit_loop
        done = loop.epoch_loop.batch_progress.current.processed if loop.restarting else 0  # type: ignore[attr-defined]
        return self._loader(self.train, (self.seed, epochs_done(self.trainer)), done)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self.val, None, 0)

    def _loader(self, crops: Crops, order: tuple[int, int] | None, start: int) -> DataLoader[Batch]:
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return batch_loader(crops, EpochBatches(len(crops), self.batch_size, order, start, rank, world))
