"""Crops without a cache, decoded from their files on every access."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli.data.cache import Crops, Progress, Skipped, check_skipped, kept_indices
from earcli.data.decoding import decode_chunks
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

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        """Raises `DataError` when a picture can no longer be read."""
        indices = np.arange(len(self))[index]
        with quiet_decoding():
            crops = list(self.pool.map(self._decode, indices.reshape(-1)))
        return np.array(crops, np.uint8).reshape(*indices.shape, *self.shape[1:])

    def _decode(self, index: int) -> NDArray[np.uint8]:
        path = self.manifest.locate(index)
        try:
            return read_crop(path, self.manifest.boxes[index], self.shape[1])
        except BadPictureError as error:
            raise DataError(f"{path} could be read at the start, but no longer: {error}. Start again.") from error


def decode_crops(manifest: Manifest, size: int, workers: int, progress: Progress | None = None) -> Crops:
    """Opens the crops of a manifest without a cache; they equal those of `load_crops` bit for bit.

    Decodes every picture once to find those that cannot be used, and again on every access.

    Args:
        manifest: the samples.
        size: side of the square crops in pixels.
        workers: threads that decode.
        progress: called after every chunk.

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
    """A crop (size, size, 3) for display and ""; gray and the reason where it cannot be read."""
    try:
        with quiet_decoding():
            return read_crop(path, box, size), ""
    except BadPictureError as error:
        return np.full((size, size, 3), GRAY, np.uint8), str(error)
