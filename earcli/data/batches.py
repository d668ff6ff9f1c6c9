"""Batches of cached crops. Their order is a pure function of seed and epoch."""

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
    """`pixels` (B, 3, S, S) uint8, channels last in memory; `subject` (B,) integers, -1 if unknown."""

    pixels: Tensor
    subject: Tensor


def as_images(pixels: Tensor) -> Tensor:
    """uint8 pixels as fp32 in [-1, 1].

    >>> as_images(torch.tensor([0, 255], dtype=torch.uint8)).tolist()
    [-1.0, 1.0]
    """
    return pixels.float().div_(127.5).sub_(1)


def as_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images (B, 3, H, W) in [-1, 1] as uint8 pixels, (B, H, W, 3)."""
    pixels: Tensor = ((images.float() + 1) * 127.5).round().clamp(0, 255).byte()
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def evenly_spaced(total: int, count: int) -> NDArray[np.int64]:
    """Up to `count` evenly spaced indices from 0 to `total` − 1.

    >>> evenly_spaced(9, 3).tolist()
    [0, 4, 8]
    """
    return np.unique(np.linspace(0, total - 1, count).round().astype(np.int64))


class PixelDataset(Dataset[Any]):
    """Cached pixels and their annotations, indexed by a whole batch at a time.

    Args:
        pixels: (N, S, S, 3) uint8, in memory or memory-mapped.
        columns: Tensors with N rows, by name.
        manifest: The source of the pixels, N rows.
    """

    def __init__(self, pixels: Pixels, columns: Mapping[str, Tensor], manifest: Manifest) -> None:
        self.pixels, self.columns, self.manifest = pixels, columns, manifest

    def __len__(self) -> int:
        return len(self.pixels)

    def subset(self, rows: NDArray[np.int64]) -> "PixelDataset":
        """The samples at `rows`, loaded into memory."""
        columns = {name: column[torch.from_numpy(rows)] for name, column in self.columns.items()}
        return PixelDataset(self.pixels[rows], columns, self.manifest.subset(rows))

    def __getitem__(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        pixels = torch.from_numpy(np.ascontiguousarray(self.pixels[indices]))
        rows = torch.from_numpy(indices)
        return {"pixels": pixels.permute(0, 3, 1, 2), **{name: column[rows] for name, column in self.columns.items()}}


def crop_dataset(crops: Crops) -> PixelDataset:
    """A dataset of `Batch`es."""
    subjects = torch.from_numpy(crops.manifest.subject_numbers())
    return PixelDataset(crops.pixels, {"subject": subjects}, crops.manifest)


class EpochBatches:
    """The batches of one epoch as index arrays, those of one rank.

    Args:
        count: Samples in the dataset.
        batch_size: Samples per batch and process.
        seed: Shuffles and drops an incomplete last batch; None keeps the order and every sample.
        epoch: Number of the epoch; with `seed` it determines the order.
        start: The first batch.
        rank: Rank of this process.
        world_size: Number of processes.
        length: Batches in a shuffled epoch, which repeats the dataset, reshuffled, as often as needed; by default the
            full batches of one pass.

    >>> [batch.tolist() for batch in EpochBatches(5, 2)]
    [[0, 1], [2, 3], [4]]
    >>> [batch.tolist() for batch in EpochBatches(5, 1, rank=1, world_size=2)]
    [[1], [3], []]
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        length: int | None = None,
    ) -> None:
        self.global_size = batch_size * world_size
        if seed is None:
            self.indices = np.arange(count)
            self.length = -(-count // self.global_size)
        else:
            rng = np.random.default_rng((seed, epoch))
            self.length = count // self.global_size if length is None else length
            passes = 1 if length is None else -(-length * self.global_size // count)
            self.indices = np.concatenate([rng.permutation(count) for _ in range(passes)])
        self.start, self.rank, self.world_size = start, rank, world_size

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        for number in range(self.start, self.length):
            yield self.global_batch(number)[self.rank :: self.world_size]

    def global_batch(self, number: int) -> NDArray[np.int64]:
        """The indices of a batch, those of all ranks."""
        return self.indices[number * self.global_size : (number + 1) * self.global_size]


def batch_loader(dataset: PixelDataset, batches: EpochBatches) -> DataLoader[Any]:
    """A loader without workers: reading a cached batch is a copy, cheaper than sending it between processes."""
    return DataLoader(
        dataset,
        sampler=batches,
        batch_size=None,
        num_workers=0,
        pin_memory=torch.cuda.is_available(),
    )


def count_full_batches(count: int, size: int) -> int:
    """The number of full batches of `size` in `count` samples.

    Raises:
        DataError: There is none.

    >>> count_full_batches(10, 4)
    2
    """
    if count < size:
        raise DataError(f"{count} training pictures do not fill one batch of {size}. Use a smaller batch.")
    return count // size
