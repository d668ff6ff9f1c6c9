"""Pictures on disk and the manifests that name them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from earcli.data.batches import as_images, as_pixels
from earcli.data.images import read_crop
from earcli.data.manifest import Manifest
from earcli.models.vae import EarVAE

WHOLE = np.full(4, np.nan)


def manifest(folder: Path, boxes: list[Any] | None = None) -> Manifest:
    paths = sorted(p.name for p in folder.iterdir() if p.suffix in (".png", ".jpg"))
    rows = [WHOLE if box is None else np.array(box, float) for box in (boxes or [None] * len(paths))]
    return Manifest(paths, np.stack(rows), None, folder)


def fill(folder: Path, count: int) -> None:
    for index in range(count):
        image = np.random.default_rng(index).integers(0, 256, (50, 40, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{index:03d}.png")


class LeftCrops(NamedTuple):
    """Crops (N, S, S, 3) uint8 of left ears, and how many of them were mirrored."""

    pixels: NDArray[np.uint8]
    mirrored: int


def left_crops(teacher: EarVAE, manifest: Manifest) -> LeftCrops:
    """The crops of a manifest, right ears mirrored by the teacher's own network."""
    side = teacher.image_size
    pixels = np.stack([read_crop(manifest.locate(row), manifest.boxes[row], side) for row in range(len(manifest))])
    assert teacher.laterality is not None
    left, logits = teacher.laterality.to_left(as_images(torch.from_numpy(pixels).permute(0, 3, 1, 2)))
    return LeftCrops(as_pixels(left), int((logits > 0).sum()))
