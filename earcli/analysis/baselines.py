"""How good a teacher is, beside baselines that learn nothing or little. Arrays in, numbers out."""

import numpy as np
from numpy.typing import NDArray

CHUNK = 1024


def mean_image_psnr(train: NDArray[np.uint8], val: NDArray[np.uint8]) -> float:
    """What guessing the mean training image for every validation image gives: mean over images, dB, data range 1.

    Args:
        train, val: (N, S, S, 3), memory-mapped or not; read in pieces.
    """
    total = np.zeros(train.shape[1:])
    for start in range(0, len(train), CHUNK):
        total += train[start : start + CHUNK].sum(axis=0, dtype=np.float64)
    mean = (total / len(train) / 255).astype(np.float32)
    values = []
    for start in range(0, len(val), CHUNK):
        error = np.square(val[start : start + CHUNK] / np.float32(255) - mean).mean(axis=(1, 2, 3), dtype=np.float64)
        values.append(-10 * np.log10(error))
    return float(np.concatenate(values).mean())
