"""Decoding the crops of a manifest in threads."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from earcli.data.images import BadPictureError, quiet_decoding, read_crop
from earcli.data.manifest import Manifest
from earcli.errors import DataError

CHUNK = 256


def decode_chunks(manifest: Manifest, size: int, workers: int) -> Iterator[dict[int, NDArray[np.uint8] | str]]:
    """Yields the crops of a manifest in order and in chunks: by index, pixels (S, S, 3) or why there are none.

    Args:
        manifest: the samples.
        size: side S of the square crops.
        workers: threads that decode.
    """

    def decode(index: int) -> NDArray[np.uint8] | str:
        try:
            return read_crop(manifest.locate(index), manifest.boxes[index], size)
        except BadPictureError as error:
            return str(error)

    with quiet_decoding(), ThreadPoolExecutor(workers) as pool:
        # Pillow releases the GIL while it decodes and resizes, so threads suffice
        for start in range(0, len(manifest), CHUNK):
            chunk = range(start, min(start + CHUNK, len(manifest)))
            yield dict(zip(chunk, pool.map(decode, chunk), strict=True))


def sample_crops(manifest: Manifest, size: int, count: int, workers: int) -> NDArray[np.uint8]:
    """Decodes `count` crops spread evenly over a manifest, skipping unusable ones; repeats them where there are fewer.

    Args:
        manifest: the samples.
        size: side of the square crops in pixels.
        count: the number of crops.
        workers: threads that decode.

    Returns:
        (count, size, size, 3) uint8.

    Raises:
        DataError: none can be used.
    """
    spread = np.unique(np.linspace(0, len(manifest) - 1, min(2 * count, len(manifest))).round().astype(np.int64))
    reasons: list[str] = []
    crops: list[NDArray[np.uint8]] = []
    for chunk in decode_chunks(manifest.subset(spread), size, workers):
        reasons += [result for result in chunk.values() if isinstance(result, str)]
        crops += [result for result in chunk.values() if not isinstance(result, str)]
    if not crops:
        raise DataError(
            f"None of {len(spread)} pictures in {manifest.root} can be used, such as {manifest.paths[0]}: "
            f"{reasons[0]}. Fix the files, or the paths in the manifest."
        )
    chosen = np.linspace(0, len(crops) - 1, count).round().astype(int) if len(crops) >= count else np.arange(count)
    return np.stack([crops[index % len(crops)] for index in chosen])
