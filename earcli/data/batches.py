"""Batches of cached crops, in an order that is a pure function of seed and epoch."""

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from earcli.data.cache import Crops
from earcli.data.manifest import Manifest
from earcli.data.pixels import Pixels
from earcli.errors import DataError


class Batch(TypedDict):
    """`pixels` (B, 3, S, S) uint8, channels last in memory; `subject` (B,), -1 where unknown."""

    pixels: Tensor
    subject: Tensor


def as_images(pixels: Tensor) -> Tensor:
    """uint8 pixels as fp32 in [-1, 1]."""
    return pixels.float().div_(127.5).sub_(1)


def as_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images (B, 3, H, W) in [-1, 1] as pixels, (B, H, W, 3)."""
    pixels: Tensor = ((images.float() + 1) * 127.5).round().clamp(0, 255).byte()
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def evenly_spaced(total: int, count: int) -> NDArray[np.int64]:
    """Up to `count` indices, evenly from 0 to `total` − 1."""
    return np.unique(np.linspace(0, total - 1, count).round().astype(np.int64))


class PixelDataset(Dataset[Any]):
    """Cached pixels and what belongs to them, read a whole batch at a time.

    Args:
        pixels: (N, S, S, 3), in memory or not.
        columns: by name, tensors with N rows.
        manifest: where the pixels came from, N rows.
    """

    def __init__(self, pixels: Pixels, columns: Mapping[str, Tensor], manifest: Manifest) -> None:
        self.pixels, self.columns, self.manifest = pixels, columns, manifest

    def __len__(self) -> int:
        return len(self.pixels)

    def subset(self, rows: NDArray[np.int64]) -> "PixelDataset":
        """The samples at `rows`, in memory."""
        chosen = torch.from_numpy(rows)
        columns = {name: c[chosen] for name, c in self.columns.items()}
        return PixelDataset(self.pixels[rows], columns, self.manifest.subset(rows))

    def __getitem__(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        pixels = torch.from_numpy(np.ascontiguousarray(self.pixels[indices]))
        rows = torch.from_numpy(indices)
        return {"pixels": pixels.permute(0, 3, 1, 2), **{name: c[rows] for name, c in self.columns.items()}}


def crop_dataset(crops: Crops) -> PixelDataset:
    """Crops as `Batch`es."""
    subjects = torch.from_numpy(crops.manifest.subject_numbers())
    return PixelDataset(crops.pixels, {"subject": subjects}, crops.manifest)


class EpochBatches:
    """The batches of one epoch as index arrays, from any batch on; one share of each for every process.

    Args:
        count: samples in the set.
        batch_size: samples per batch and process.
        order: `(seed, epoch)` shuffles and drops a last partial batch; None keeps the order and every sample.
        start: first batch.
        rank, world_size: which of how many processes this is.
        length: batches in the epoch, for which a shuffled set is gone through as often as it takes; by default one
            round.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        order: tuple[int, int] | None,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        length: int | None = None,
    ) -> None:
        self.global_size = batch_size * world_size
        if order is None:
            self.indices = np.arange(count)
            self.length = -(-count // self.global_size)
        else:
            rng = np.random.default_rng(order)
            self.length = count // self.global_size if length is None else length
            rounds = 1 if length is None else -(-length * self.global_size // count)
            self.indices = np.concatenate([rng.permutation(count) for _ in range(rounds)])
        self.start, self.rank, self.world_size = start, rank, world_size

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        for number in range(self.start, self.length):
            yield self.whole(number)[self.rank :: self.world_size]

    def whole(self, number: int) -> NDArray[np.int64]:
        """The indices of one batch, those of all processes."""
        return self.indices[number * self.global_size : (number + 1) * self.global_size]


def batch_loader(dataset: PixelDataset, batches: EpochBatches) -> DataLoader[Any]:
    """A loader in this very process: reading a cached batch is a copy, less work than handing it over would be."""
    return DataLoader(
        dataset,
        sampler=batches,
        batch_size=None,
        num_workers=0,
        pin_memory=torch.cuda.is_available(),
    )


def count_full_batches(count: int, size: int) -> int:
    """How many whole batches of `size` there are in `count` samples.

    Raises:
        DataError: not one.
    """
    if count < size:
        raise DataError(f"{count} training pictures do not fill one batch of {size}. Lower --batch-size.")
    return count // size
