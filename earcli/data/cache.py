"""The pixel cache: every crop of a manifest, decoded once, as one memory-mapped uint8 array.

One entry is a folder `pixels-KEY/` of `pixels.u8`, N·S·S·3 bytes, and `entry.json`. It is built under a temporary name
and renamed when complete, so that a reader finds a whole entry or none, also when two runs build it at once.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earcli.data.images import BadPictureError, quiet_decoding, read_crop
from earcli.data.manifest import Manifest
from earcli.errors import DataError, RunError

VERSION = 1
MAX_SKIPPED = 0.05
CHUNK = 256
PIXELS = "pixels.u8"
NO_PIXELS: NDArray[np.uint8] = np.empty((0, 0, 0, 3), np.uint8)

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
        pixels: (N, S, S, 3) uint8, memory-mapped.
        manifest: the N samples.
        skipped: the samples that were left out.
    """

    pixels: NDArray[np.uint8]
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
    """Maps the crops of a manifest, decoding them first when `folder` does not hold them yet.

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
        _build(entry, manifest, size, workers, progress)
        crops = _open(entry, manifest, size)
    if crops is None:
        raise RunError(f"{entry} cannot be read back. Delete it and start again.")
    share = len(crops.skipped) / len(manifest)
    if share > most_skipped or not len(crops):
        examples = "; ".join(f"{s.path}: {s.reason}" for s in crops.skipped[:3])
        raise DataError(
            f"{len(crops.skipped)} of {len(manifest)} pictures cannot be used ({share:.0%}, at most "
            f"{most_skipped:.0%} may be skipped): {examples}. Mend the files, the manifest or --root-dir."
        )
    return crops


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
    """The entry, or None when it is not there or not whole."""
    try:
        facts = json.loads((entry / "entry.json").read_text(encoding="utf-8"))
        skipped = [Skipped(**item) for item in facts["skipped"]]
        left_out = {item.index for item in skipped}
        kept = [i for i in range(len(manifest)) if i not in left_out]
        pixels = np.memmap(entry / PIXELS, np.uint8, "r", shape=(len(kept), size, size, 3)) if kept else NO_PIXELS
        whole = (entry / PIXELS).stat().st_size == pixels.nbytes
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Crops(pixels, manifest.subset(kept) if skipped else manifest, skipped) if whole else None


def _build(entry: Path, manifest: Manifest, size: int, workers: int, progress: Progress | None) -> None:
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=entry.parent))
    except OSError as error:
        raise RunError(f"{entry.parent} cannot be written ({error.strerror}). Give another --run-dir.") from error
    try:
        skipped = _decode(manifest, size, temporary / PIXELS, workers, progress)
        facts = {"version": VERSION, "skipped": [vars(item) for item in skipped]}
        (temporary / "entry.json").write_text(json.dumps(facts), encoding="utf-8")
        if _open(entry, manifest, size) is None:  # another run may have been faster
            shutil.rmtree(entry, ignore_errors=True)
            temporary.replace(entry)
    except OSError as error:
        remedy = "Free space there, or give another --run-dir."
        raise RunError(f"{entry.parent} cannot be written ({error.strerror}). {remedy}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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


def _decode(manifest: Manifest, size: int, path: Path, workers: int, progress: Progress | None) -> list[Skipped]:
    """Writes the usable crops to `path` and returns the others."""
    skipped: list[Skipped] = []
    with path.open("wb") as file:
        for chunk in decode_chunks(manifest, size, workers):
            for index, result in chunk.items():
                if isinstance(result, str):
                    skipped.append(Skipped(index, manifest.paths[index], result))
                else:
                    file.write(result.tobytes())
            if progress is not None:
                progress("decoding pictures", max(chunk) + 1, len(manifest))
    return skipped


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
