"""Crops without a cache: decoded from their files whenever they are asked for."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli.data.cache import Crops, Progress, Skipped, check_skipped, decode_chunks, kept_indices
from earcli.data.images import BadPictureError, quiet_decoding, read_crop
from earcli.data.manifest import Manifest
from earcli.errors import DataError

GRAY = 160


class DecodedPixels:
    """The crops of a manifest, (N, size, size, 3) uint8; indexing decodes them, in `workers` threads."""

    def __init__(self, manifest: Manifest, size: int, workers: int) -> None:
        self.manifest = manifest
        self.shape = (len(manifest), size, size, 3)
        self.pool = ThreadPoolExecutor(workers)

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, which: Any, /) -> NDArray[np.uint8]:
        """Raises DataError when a picture cannot be read any more."""
        indices = np.arange(len(self))[which]
        with quiet_decoding():
            crops = list(self.pool.map(self._decode, indices.reshape(-1)))
        return np.array(crops, np.uint8).reshape(*indices.shape, *self.shape[1:])

    def _decode(self, index: int) -> NDArray[np.uint8]:
        path = self.manifest.locate(index)
        try:
            return read_crop(path, self.manifest.boxes[index], self.shape[1])
        except BadPictureError as error:
            raise DataError(f"{path} could be read when training started, and now: {error}. Start again.") from error


def decode_crops(manifest: Manifest, size: int, workers: int, progress: Progress | None = None) -> Crops:
    """The crops of a manifest without a cache; what `load_crops` gives, bit for bit.

    Every picture is decoded once here, to know those that cannot be used, and again whenever it is asked for.

    Args:
        size: side of the square crops.
        workers: threads that decode.

    Raises:
        DataError: more than 5% of the samples cannot be used.
    """
    skipped = []
    for chunk in decode_chunks(manifest, size, workers):
        skipped += [Skipped(i, manifest.paths[i], why) for i, why in chunk.items() if isinstance(why, str)]
        if progress is not None:
            progress("checking pictures", max(chunk) + 1, len(manifest))
    check_skipped(skipped, manifest)
    usable = manifest.subset(kept_indices(skipped, manifest)) if skipped else manifest
    return Crops(DecodedPixels(usable, size, workers), usable, skipped)


def crop_or_gray(path: Path, box: NDArray[np.float64], size: int) -> tuple[NDArray[np.uint8], str]:
    """A crop (size, size, 3) to be looked at, and nothing; gray and the reason where it cannot be read any more."""
    try:
        with quiet_decoding():
            return read_crop(path, box, size), ""
    except BadPictureError as error:
        return np.full((size, size, 3), GRAY, np.uint8), str(error)
