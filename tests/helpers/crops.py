"""Pictures on disk and the manifests that name them."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from earcli.data.manifest import Manifest

WHOLE = np.full(4, np.nan)


def manifest(folder: Path, boxes: list[Any] | None = None) -> Manifest:
    paths = sorted(p.name for p in folder.iterdir() if p.suffix in (".png", ".jpg"))
    rows = [WHOLE if box is None else np.array(box, float) for box in (boxes or [None] * len(paths))]
    return Manifest(paths, np.stack(rows), None, folder)


def fill(folder: Path, count: int) -> None:
    for index in range(count):
        image = np.random.default_rng(index).integers(0, 256, (50, 40, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{index:03d}.png")
