"""How fast pictures come: from the pixel cache, and opened and varied one by one."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from earcli.config import TrainConfig
from earcli.data.augment import STRENGTHS, augment
from earcli.data.batches import EpochBatches, as_images, batch_loader, crop_dataset
from earcli.data.cache import Crops

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
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        generator = torch.Generator().manual_seed(config.seed)
        size = min(config.batch_size, len(crops))

        def cached() -> Iterator[int]:
            for batch in batch_loader(crop_dataset(crops), EpochBatches(len(crops), size, (config.seed, 0))):
                augment(as_images(batch["pixels"]), STRENGTHS["light"], generator)
                yield size

        def naive() -> Iterator[int]:
            for index in range(len(crops)):
                naive_picture(crops, index, config.image_size)
                yield 1

        result = {"images_per_second": rate(cached)}
        if against_naive:
            result["naive_images_per_second"] = rate(naive)
        return result
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
