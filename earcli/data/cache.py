"""The pixel cache: every crop of a manifest, decoded once, as one file of uint8.

An entry is a folder `pixels-KEY/` of `pixels.u8`, N·S·S·3 bytes, and `entry.json`, which is written last and holds the
modification time and the CRC-32 of `pixels.u8`. A start compares the size and the modification time only. Where the
time differs, or with `verify`, it reads every byte and the CRC-32 decides: equal, the entry is used and the time is
updated; different, the entry is rebuilt. A byte that changed under the same size and time is found with `verify` alone.

Of two runs that need an entry at once, one builds it and the other waits at `lock`.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from earcli.data.decoding import decode_chunks
from earcli.data.manifest import Manifest
from earcli.data.pixels import Pixels, StoredPixels
from earcli.errors import DataError, RunError
from earcli.files import atomic_write, remove_temporaries, write_csv
from earcli.untrusted.files import LARGE, check_regular_file, read_bounded

VERSION = 1
MAX_SKIPPED = 0.05
PIXELS, ENTRY = "pixels.u8", "entry.json"
READ_BYTES = 2**20
ENTRY_BYTES = 2**30

Progress = Callable[[str, int, int], None]
"""Called with the name of a step, the number of items done, and their total."""


@dataclass(frozen=True)
class Skipped:
    """A sample that cannot be used."""

    index: int
    path: str
    reason: str


def write_skipped(path: Path, skipped: Iterable[Skipped]) -> None:
    """Writes the paths and reasons of skipped samples as CSV, or nothing where there are none.

    Raises:
        RunError: it cannot be written.
    """
    rows = [(item.path, item.reason) for item in skipped]
    if rows:
        write_csv(path, ("path", "reason"), rows)


@dataclass(frozen=True)
class Crops:
    """The usable samples of a manifest.

    Attributes:
        pixels: (N, S, S, 3) uint8, read or decoded on indexing.
        manifest: the N samples.
        skipped: the samples that cannot be used.
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
    max_skipped: float = MAX_SKIPPED,
    *,
    verify: bool = False,
) -> Crops:
    """Opens the crops of a manifest from the cache, decoding them first where the cache lacks them.

    Args:
        manifest: the samples.
        size: side of the square crops in pixels.
        folder: the cache.
        workers: threads that decode.
        progress: called after every chunk.
        max_skipped: largest share of samples that may be unusable, in [0, 1].
        verify: verify every byte of an entry, instead of its size and modification time.

    Raises:
        DataError: more of the samples cannot be used.
        RunError: `folder` cannot be written.
    """
    entry = folder / f"pixels-{_key(manifest, size)}"
    crops = _open(entry, manifest, size, verify)
    if crops is None:
        crops = _build(entry, manifest, size, workers, progress)
    check_skipped(crops.skipped, manifest, max_skipped)
    return crops


def check_skipped(skipped: list[Skipped], manifest: Manifest, max_skipped: float = MAX_SKIPPED) -> None:
    """Raises `DataError` when more than a share `max_skipped` of a manifest, or all of it, cannot be used."""
    share = len(skipped) / len(manifest)
    if share > max_skipped or len(skipped) == len(manifest):
        examples = "; ".join(f"{s.path}: {s.reason}" for s in skipped[:3])
        raise DataError(
            f"{len(skipped)} of {len(manifest)} pictures cannot be used ({share:.0%}, at most "
            f"{max_skipped:.0%} may be skipped): {examples}. Fix the files, or the paths in the manifest."
        )


def _key(manifest: Manifest, size: int) -> str:
    """A hash of all paths, boxes, file sizes and modification times, the crop size, and the version of this code."""
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


def _open(entry: Path, manifest: Manifest, size: int, verify: bool = False) -> Crops | None:
    """The crops of an entry, or None where it is missing or damaged."""
    try:
        facts = json.loads(read_bounded(entry / ENTRY, ENTRY_BYTES))
        skipped = [Skipped(**item) for item in facts["skipped"]]
        kept = kept_indices(skipped, manifest)
        shape = (len(kept), size, size, 3)
        check_regular_file(entry / PIXELS, LARGE)
        pixels = StoredPixels(entry / PIXELS, shape) if kept else np.empty(shape, np.uint8)
        modified = (entry / PIXELS).stat().st_mtime_ns
        same_time = modified == facts.get("mtime_ns")
        if (verify or not same_time) and _checksum(entry / PIXELS) != facts["crc32"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not same_time:
        with suppress(RunError):  # a cache that cannot be written is verified at every start
            _write_facts(entry, {**facts, "mtime_ns": modified})
    return Crops(pixels, manifest.subset(kept) if skipped else manifest, skipped)


def _write_facts(entry: Path, facts: dict[str, Any]) -> None:
    with atomic_write(entry / ENTRY) as path:
        path.write_text(json.dumps(facts), encoding="utf-8")


def kept_indices(skipped: list[Skipped], manifest: Manifest) -> list[int]:
    """The indices of the samples that are not skipped, in order."""
    left_out = {item.index for item in skipped}
    return [index for index in range(len(manifest)) if index not in left_out]


def _checksum(path: Path) -> int:
    """CRC-32 of a file, read in chunks of constant memory."""
    checksum = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(READ_BYTES):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _build(entry: Path, manifest: Manifest, size: int, workers: int, progress: Progress | None) -> Crops:
    """Decodes an entry, or waits until another run has decoded it."""
    try:
        entry.mkdir(parents=True, exist_ok=True)
        with _locked(entry, progress):
            crops = _open(entry, manifest, size, verify=True)
            if crops is None:
                _write(entry, manifest, size, workers, progress)
                crops = _open(entry, manifest, size)
    except OSError as error:
        raise RunError(f"{entry.parent} cannot be written ({error.strerror}). Give another folder.") from error
    if crops is None:
        raise RunError(f"{entry} cannot be read back. Delete it and start again.")
    return crops


@contextmanager
def _locked(entry: Path, progress: Progress | None) -> Iterator[None]:
    """Holds the lock of an entry; the system releases that of a process that died."""
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
    remove_temporaries(entry)
    skipped: list[Skipped] = []
    checksum = 0
    with atomic_write(entry / PIXELS) as path, path.open("wb") as file:
        for chunk in decode_chunks(manifest, size, workers):
            for index, result in chunk.items():
                if isinstance(result, str):
                    skipped.append(Skipped(index, manifest.paths[index], result))
                else:
                    content = result.tobytes()
                    file.write(content)
                    checksum = zlib.crc32(content, checksum)
            if progress is not None:
                progress("decoding pictures", max(chunk) + 1, len(manifest))
    modified = (entry / PIXELS).stat().st_mtime_ns
    _write_facts(entry, {"mtime_ns": modified, "crc32": checksum, "skipped": [vars(item) for item in skipped]})
