"""Pictures of results. Arrays in, PNG files out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from earcli.files import replacing

GAP = 2


def image_rows(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows of pictures, (N, H, W, 3) each, as one white-ruled sheet (H', W', 3)."""
    padded = [np.pad(row, ((0, 0), (GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate([np.concatenate(list(row), axis=1) for row in padded], axis=0)


def save_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes a PNG, whole or not at all."""
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
