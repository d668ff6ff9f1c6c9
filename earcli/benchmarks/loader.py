"""How fast pictures come: from the pixel cache, and opened and varied one by one."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

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


def naive_picture(crops: Crops, index: int, size: int) -> Tensor:
    """One training picture, (3, S, S) in [-1, 1], by Pillow and torchvision, varied as `--augment light` does."""
    with Image.open(crops.manifest.locate(index)) as file:
        picture = file.convert("RGB")
    x, y, width, height = crops.manifest.boxes[index]
    if not np.isnan(x):
        picture = picture.crop((x, y, x + width, y + height))
    varied = NAIVE_AUGMENTATION(picture.resize((size, size), Image.Resampling.BILINEAR))
    image: Tensor = v2.functional.pil_to_tensor(varied).float() / 127.5 - 1
    return image


def time_loader(config: TrainConfig, crops: Crops, against_naive: bool) -> dict[str, float]:
    """Images/s of one core from the pixel cache through light augmentation, and of one that opens every picture."""

    def naive() -> Iterator[int]:
        for index in range(len(crops)):
            naive_picture(crops, index, config.image_size)
            yield 1

    with one_thread():
        result = {"images_per_second": rate(lambda: varied(crops, config.batch_size, config.seed))}
        if against_naive:
            result["naive_images_per_second"] = rate(naive)
    return result


def measure_sets(
    pictures: Manifest,
    counts: Sequence[int],
    size: int,
    batch_size: int,
    workers: int,
    folder: Path,
    progress: Progress,
) -> list[dict[str, float]]:
    """`time_set` of sets of so many pictures, which repeat those given; each cache is removed before the next."""
    retain_freed_memory()
    # what torch sets up at its first use belongs to no set
    augment(torch.zeros(batch_size, 3, size, size), STRENGTHS["light"], torch.Generator())
    results = []
    for number, count in enumerate(counts):
        cache = folder / f"cache-{number}"
        repeated = pictures.subset(np.arange(count) % len(pictures))
        results.append(time_set(repeated, size, batch_size, workers, cache, progress))
        shutil.rmtree(cache)
    return results


def time_set(
    manifest: Manifest, size: int, batch_size: int, workers: int, folder: Path, progress: Progress
) -> dict[str, float]:
    """What a set costs: building its cache in `folder`, starting anew, one epoch of light augmentation on one core.

    Returns:
        Seconds, images/s, and MiB above what this process held before: at most while building, and after the epoch.

    Raises:
        DataError: more than 5% of the pictures cannot be used.
        RunError: `folder` cannot be written.
    """
    cpu = torch.device("cpu")
    before = resident_memory(cpu)
    reset_peak_memory(cpu)
    start = time.perf_counter()
    load_crops(manifest, size, folder, workers, progress)
    built = time.perf_counter()
    peak = peak_memory(cpu)
    crops = load_crops(manifest, size, folder, workers, progress)
    opened = time.perf_counter()
    with one_thread():
        done = sum(varied(crops, batch_size, 0))
    elapsed = time.perf_counter() - opened
    return {
        "images": len(crops),
        "build_s": built - start,
        "build_mib": (peak - before) / 2**20,
        "start_s": opened - built,
        "images_per_second": done / elapsed,
        "epoch_mib": (resident_memory(cpu) - before) / 2**20,
    }


def varied(crops: Crops, batch_size: int, seed: int) -> Iterator[int]:
    """An epoch of light augmentation; yields how many pictures each batch had."""
    generator = torch.Generator().manual_seed(seed)
    size = min(batch_size, len(crops))
    for batch in batch_loader(crop_dataset(crops), EpochBatches(len(crops), size, seed=seed)):
        yield len(augment(as_images(batch["pixels"]), STRENGTHS["light"], generator))


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def rate(work: Callable[[], Iterator[int]]) -> float:
    """Items a second of a generator that says how many it made, over `LOADER_SECONDS`, begun anew when it ends."""
    done, start = 0, time.perf_counter()
    while True:
        for count in work():
            done += count
            elapsed = time.perf_counter() - start
            if elapsed > LOADER_SECONDS:
                return done / elapsed
