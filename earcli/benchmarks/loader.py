"""Throughput of the data loader: through the pixel cache, and with every image opened and augmented on its own."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from earcli.benchmarks.timing import single_thread
from earcli.config.teacher import TrainConfig
from earcli.data.augmentation import STRENGTHS, augment
from earcli.data.batches import EpochBatches, as_images, batch_loader, crop_dataset
from earcli.data.cache import Crops, Progress, load_crops
from earcli.data.manifest import Manifest
from earcli.training.memory import peak_memory, reset_peak_memory, resident_memory, retain_freed_memory

LOADER_SECONDS = 3.0

NAIVE_AUGMENTATION = v2.Compose(
    [
        v2.RandomHorizontalFlip(),
        v2.RandomAffine(degrees=8, translate=(0.04, 0.04), scale=(0.92, 1.08)),
        v2.ColorJitter(brightness=0.1, contrast=0.1),
    ]
)
"""The light augmentation, by torchvision."""


def load_naively(crops: Crops, index: int, size: int) -> Tensor:
    """Opens, crops, resizes and augments one image with Pillow and torchvision: (3, S, S) in [-1, 1]."""
    with Image.open(crops.manifest.locate(index)) as file:
        image = file.convert("RGB")
    x, y, width, height = crops.manifest.boxes[index]
    if not np.isnan(x):
        image = image.crop((x, y, x + width, y + height))
    augmented = NAIVE_AUGMENTATION(image.resize((size, size), Image.Resampling.BILINEAR))
    result: Tensor = v2.functional.pil_to_tensor(augmented).float() / 127.5 - 1
    return result


def measure_loader(config: TrainConfig, crops: Crops, against_naive: bool) -> dict[str, float]:
    """Images/s of one core with light augmentation, from the pixel cache and optionally by `load_naively`."""

    def load_all_naively() -> Iterator[int]:
        for index in range(len(crops)):
            load_naively(crops, index, config.image_size)
            yield 1

    with single_thread():
        result = {"images_per_second": _measure_rate(lambda: _augment_epoch(crops, config.batch_size, config.seed))}
        if against_naive:
            result["naive_images_per_second"] = _measure_rate(load_all_naively)
    return result


def measure_sets(
    manifest: Manifest,
    counts: Sequence[int],
    size: int,
    batch_size: int,
    workers: int,
    folder: Path,
    progress: Progress,
) -> list[dict[str, float]]:
    """Measures data sets of several sizes, made of the images of a manifest, repeated as often as necessary.

    Args:
        counts: Images per set.
        size: Side of the crops in pixels.
        workers: Threads that decode images.
        folder: Temporary folder of the pixel caches; each is removed before the next is built.

    Returns:
        For each set: `images` usable, seconds to build the cache (`build_s`) and to open it again (`start_s`),
        `images_per_second` of an epoch with light augmentation on one core, and memory in MiB above that of the
        process before: the peak of the build (`build_mib`), and after the epoch (`epoch_mib`).

    Raises:
        DataError: More than 5% of the images cannot be used.
        RunError: `folder` cannot be written.
    """
    retain_freed_memory()
    # PyTorch's one-time initialization belongs to no set
    augment(torch.zeros(batch_size, 3, size, size), STRENGTHS["light"], torch.Generator())
    results = []
    for number, count in enumerate(counts):
        cache = folder / f"cache-{number}"
        repeated = manifest.subset(np.arange(count) % len(manifest))
        results.append(_measure_set(partial(load_crops, repeated, size, cache, workers, progress), batch_size))
        shutil.rmtree(cache)
    return results


def _measure_set(load: Callable[[], Crops], batch_size: int) -> dict[str, float]:
    """See `measure_sets`; the first call of `load` builds the cache, the second one opens it."""
    cpu = torch.device("cpu")
    before = resident_memory(cpu)
    reset_peak_memory(cpu)
    start = time.perf_counter()
    load()
    built = time.perf_counter()
    peak = peak_memory(cpu)
    crops = load()
    opened = time.perf_counter()
    with single_thread():
        count = sum(_augment_epoch(crops, batch_size, 0))
    return {
        "images": len(crops),
        "build_s": built - start,
        "build_mib": (peak - before) / 2**20,
        "start_s": opened - built,
        "images_per_second": count / (time.perf_counter() - opened),
        "epoch_mib": (resident_memory(cpu) - before) / 2**20,
    }


def _augment_epoch(crops: Crops, batch_size: int, seed: int) -> Iterator[int]:
    """Loads and augments the batches of one epoch; yields the number of images in each."""
    generator = torch.Generator().manual_seed(seed)
    size = min(batch_size, len(crops))
    for batch in batch_loader(crop_dataset(crops), EpochBatches(len(crops), size, seed=seed)):
        yield len(augment(as_images(batch["pixels"]), STRENGTHS["light"], generator))


def _measure_rate(run: Callable[[], Iterator[int]]) -> float:
    """Items/s over `LOADER_SECONDS` of a generator of item counts, which is restarted whenever it ends."""
    done, start = 0, time.perf_counter()
    while True:
        for count in run():
            done += count
            elapsed = time.perf_counter() - start
            if elapsed > LOADER_SECONDS:
                return done / elapsed
