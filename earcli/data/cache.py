"""The pixel cache: every crop of a manifest, decoded once, as one file of uint8.

One entry is a folder `pixels-KEY/` of `pixels.u8`, N·S·S·3 bytes, and `entry.json`, which holds its checksum and is
written last. Every start reads `pixels.u8` once, in order, to compare the checksum: any byte that differs is found.
Of two runs that want an entry at once, one builds it and the other waits for it at `lock`.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from earcli.data.images import BadPictureError, quiet_decoding, read_crop
from earcli.data.manifest import Manifest
from earcli.data.pixels import Pixels, StoredPixels
from earcli.errors import DataError, RunError
from earcli.files import atomic_write
from earcli.untrusted.files import LARGE, check_regular_file, read_bounded

VERSION = 1
MAX_SKIPPED = 0.05
CHUNK = 256
PIXELS = "pixels.u8"
READ_BYTES = 2**20
ENTRY_BYTES = 2**30

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Skipped:
    """A sample that cannot be used."""

    index: int
    path: str
    reason: str


@dataclass(frozen=True)
class Crops:
    """The usable samples of a manifest.

    Attributes:
        pixels: (N, S, S, 3) uint8, read or decoded when asked for.
        manifest: the N samples.
        skipped: the samples that were left out.
    """

    pixels: Pixels
    manifest: Manifest
    skipped: list[Skipped]

    def __len__(self) -> int:
        return len(self.manifest)


def load_crops(
    manifest: Manifest,
    size: int,
    folder: Path,
    workers: int,
    progress: Progress | None = None,
    most_skipped: float = MAX_SKIPPED,
) -> Crops:
    """Opens the crops of a manifest, decoding them first when `folder` does not hold them yet.

    Args:
        size: side of the square crops.
        folder: where entries are kept.
        workers: threads that decode.
        most_skipped: the share of the samples that may be left out.

    Raises:
        DataError: more of the samples cannot be used.
        RunError: `folder` cannot be written.
    """
    entry = folder / f"pixels-{_key(manifest, size)}"
    crops = _open(entry, manifest, size)
    if crops is None:
        crops = _build(entry, manifest, size, workers, progress)
    check_skipped(crops.skipped, manifest, most_skipped)
    return crops


def check_skipped(skipped: list[Skipped], manifest: Manifest, most: float = MAX_SKIPPED) -> None:
    """Raises `DataError` when more than a share `most` of a manifest, or all of it, cannot be used."""
    share = len(skipped) / len(manifest)
    if share > most or len(skipped) == len(manifest):
        examples = "; ".join(f"{s.path}: {s.reason}" for s in skipped[:3])
        raise DataError(
            f"{len(skipped)} of {len(manifest)} pictures cannot be used ({share:.0%}, at most "
            f"{most:.0%} may be skipped): {examples}. Mend the files, the manifest or --root-dir."
        )


def _key(manifest: Manifest, size: int) -> str:
    """Changes whenever a path, a box, a file's size or time, the crop size, or this code's version does."""
    digest = hashlib.sha256(f"{VERSION} {size} {manifest.root.resolve()}".encode())
    digest.update(manifest.boxes.tobytes())
    for index, name in enumerate(manifest.paths):
        try:
            status = manifest.locate(index).stat()
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        except (OSError, ValueError):
            stamp = "missing"
        digest.update(f"{name}\0{stamp}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:20]


def _open(entry: Path, manifest: Manifest, size: int) -> Crops | None:
    """The entry, or None when it is not there or not as it was written."""
    try:
        facts = json.loads(read_bounded(entry / "entry.json", ENTRY_BYTES))
        skipped = [Skipped(**item) for item in facts["skipped"]]
        kept = kept_indices(skipped, manifest)
        shape = (len(kept), size, size, 3)
        check_regular_file(entry / PIXELS, LARGE)
        pixels = StoredPixels(entry / PIXELS, shape) if kept else np.empty(shape, np.uint8)
        whole = _checksum(entry / PIXELS) == facts["crc32"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return Crops(pixels, manifest.subset(kept) if skipped else manifest, skipped) if whole else None


def kept_indices(skipped: list[Skipped], manifest: Manifest) -> list[int]:
    left_out = {item.index for item in skipped}
    return [index for index in range(len(manifest)) if index not in left_out]


def _checksum(path: Path) -> int:
    """CRC-32 of a file, read in pieces, so that no page of it counts as this process's memory."""
    found = 0
    with path.open("rb", buffering=0) as file:
        while piece := file.read(READ_BYTES):
            found = zlib.crc32(piece, found)
    return found


def _build(entry: Path, manifest: Manifest, size: int, workers: int, progress: Progress | None) -> Crops:
    """Decodes an entry, or waits until another run has."""
    try:
        entry.mkdir(parents=True, exist_ok=True)
        with _alone(entry, progress):
            crops = _open(entry, manifest, size)
            if crops is None:
                _write(entry, manifest, size, workers, progress)
                crops = _open(entry, manifest, size)
    except OSError as error:
        raise RunError(f"{entry.parent} cannot be written ({error.strerror}). Give another --run-dir.") from error
    if crops is None:
        raise RunError(f"{entry} cannot be read back. Delete it and start again.")
    return crops


@contextmanager
def _alone(entry: Path, progress: Progress | None) -> Iterator[None]:
    """Waits until no other process works on an entry; the system lets go of the lock of one that died."""
    lock = FileLock(entry / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress is not None:
            progress("waiting for another run to decode", 0, 1)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _write(entry: Path, manifest: Manifest, size: int, workers: int, progress: Progress | None) -> None:
    for left in entry.glob(f".{PIXELS}*"):  # by a run that was killed
        left.unlink()
    skipped: list[Skipped] = []
    checksum = 0
    with atomic_write(entry / PIXELS) as path, path.open("wb") as file:
        for chunk in decode_chunks(manifest, size, workers):
            for index, result in chunk.items():
                if isinstance(result, str):
                    skipped.append(Skipped(index, manifest.paths[index], result))
                else:
                    written = result.tobytes()
                    file.write(written)
                    checksum = zlib.crc32(written, checksum)
            if progress is not None:
                progress("decoding pictures", max(chunk) + 1, len(manifest))
    facts = {"version": VERSION, "crc32": checksum, "skipped": [vars(item) for item in skipped]}
    with atomic_write(entry / "entry.json") as path:
        path.write_text(json.dumps(facts), encoding="utf-8")


def decode_chunks(manifest: Manifest, size: int, workers: int) -> Iterator[dict[int, NDArray[np.uint8] | str]]:
    """The crops of a manifest in order, some hundred at a time: pixels (S, S, 3) by index, or why there are none.

    Args:
        size: side S of the square crops.
        workers: threads that decode.
    """

    def one(index: int) -> NDArray[np.uint8] | str:
        try:
            return read_crop(manifest.locate(index), manifest.boxes[index], size)
        except BadPictureError as error:
            return str(error)

    with quiet_decoding(), ThreadPoolExecutor(workers) as pool:
        # Pillow lets go of the interpreter lock while it decodes and resizes, so threads are enough
        for start in range(0, len(manifest), CHUNK):
            chunk = range(start, min(start + CHUNK, len(manifest)))
            yield dict(zip(chunk, pool.map(one, chunk), strict=True))


def sample_crops(manifest: Manifest, size: int, count: int, workers: int) -> NDArray[np.uint8]:
    """So many crops from all over a manifest, (count, size, size, 3); those that there are, repeated, where too few.

    Pictures that cannot be used are passed over.

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
            f"{reasons[0]}. Mend the manifest or --root-dir."
        )
    chosen = np.linspace(0, len(crops) - 1, count).round().astype(int) if len(crops) >= count else np.arange(count)
    return np.stack([crops[index % len(crops)] for index in chosen])
