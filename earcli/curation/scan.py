"""What is known about every sample after opening its picture once: size, checksum, hashes, sharpness."""

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from earcli.data.cache import Progress
from earcli.data.images import MAX_BYTES, BadPictureError, crop_picture, quiet_decoding, read_header, read_picture
from earcli.errors import RunError
from earcli.untrusted.files import check_regular_file

VERSION = 1
NOTE_BYTES = 64 << 10
CHUNK = 256
THUMBNAIL = 32
SHARPNESS_SIDE = 64
SHARPNESS_BLUR = 2


@dataclass(frozen=True)
class Facts:
    """One sample, as its file is. What could not be found out is "", 0 or (0, 0).

    Attributes:
        fault: the kind of `BadPictureError` that reading the crop raised, or "".
        detail: its message.
        checksum: SHA-256 of the file.
        format: what the content is ("JPEG"), whatever the name says.
        orientation: the EXIF tag; 1 is upright.
        size: width and height of the upright picture in pixels.
        crop: width and height of the crop in pixels, cut at the picture's borders.
        contrast: standard deviation of the crop's gray values, 0 to 127.5.
        sharpness: 0 (as smooth as a picture can be) to 1; see `sharpness`.
        hash, mirror_hash: 64-bit perceptual hash (pHash) of the crop, and of its mirror image.
        thumbnail: 32×32 gray values of the crop, as bytes in base64.
    """

    fault: str = ""
    detail: str = ""
    checksum: str = ""
    format: str = ""
    orientation: int = 1
    size: tuple[int, int] = (0, 0)
    crop: tuple[int, int] = (0, 0)
    contrast: float = 0.0
    sharpness: float = 0.0
    hash: int = 0
    mirror_hash: int = 0
    thumbnail: str = ""


NOTHING = Facts()


def examine(path: Path, box: NDArray[np.float64]) -> Facts:
    """Opens one sample's picture; never raises for what a file may hold."""
    known: dict[str, Any] = {}
    try:
        check_regular_file(path, MAX_BYTES)
        with path.open("rb") as file:
            known["checksum"] = hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, ValueError):
        return Facts("missing", "no such file")
    except OSError as error:
        return Facts("unreadable", f"unreadable ({error.strerror})")
    try:
        image = read_picture(path)
        known["format"], known["orientation"] = read_header(path)
        known["size"] = image.size
        known |= _look(crop_picture(image, box))
    except BadPictureError as error:
        return Facts(error.kind, str(error), **known)
    return Facts(**known)


def _look(crop: Image.Image) -> dict[str, Any]:
    gray = crop.convert("L")
    thumbnail = gray.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    return {
        "crop": crop.size,
        "contrast": round(float(np.asarray(gray).std()), 3),
        "sharpness": round(sharpness(gray), 4),
        "hash": _hash(gray),
        "mirror_hash": _hash(ImageOps.mirror(gray)),
        "thumbnail": base64.b64encode(thumbnail.tobytes()).decode(),
    }


def _hash(gray: Image.Image) -> int:
    return int.from_bytes(np.packbits(imagehash.phash(gray).hash).tobytes(), "big")


def sharpness(gray: Image.Image) -> float:
    """1 − the blur measure of Crete et al., "The blur effect" (2007), at 64×64 pixels, about what a teacher sees.

    A picture is blurred once more, with a box of 5 pixels; a sharp one loses much of its differences between
    neighbors, a blurred one next to nothing. The share that is lost, in the direction that loses less.
    """
    small = gray.resize((SHARPNESS_SIDE, SHARPNESS_SIDE), Image.Resampling.BILINEAR)
    shares = []
    for axis, radius in ((1, (SHARPNESS_BLUR, 0)), (0, (0, SHARPNESS_BLUR))):
        before = np.abs(np.diff(np.asarray(small, dtype=np.float32), axis=axis))
        blurred = small.filter(ImageFilter.BoxBlur(radius))
        after = np.abs(np.diff(np.asarray(blurred, dtype=np.float32), axis=axis))
        shares.append(np.maximum(before - after, 0).sum() / max(before.sum(), 1e-6))
    return float(min(shares))


def scan(
    paths: Sequence[Path],
    boxes: NDArray[np.float64],
    workers: int,
    progress: Progress | None = None,
    notes: Path | None = None,
) -> list[Facts]:
    """Examines every sample, in parallel.

    Args:
        paths: a file a sample.
        boxes: (N, 4) of x, y, width, height in pixels; NaN for the whole picture.
        workers: threads.
        notes: file in which results are noted as they come; a scan that was killed goes on from there. A note counts
            as long as path, size, time and box are the same.

    Raises:
        RunError: `notes` cannot be written.
    """
    keys = [_key(path, box) for path, box in zip(paths, boxes, strict=True)]
    known = _read_notes(notes)
    todo = [index for index, key in enumerate(keys) if key not in known]
    try:
        with quiet_decoding(), ThreadPoolExecutor(workers) as pool, _append(notes) as file:
            # Pillow and hashlib let go of the interpreter lock
            for start in range(0, len(todo), CHUNK):
                chunk = todo[start : start + CHUNK]
                for index, facts in zip(chunk, pool.map(lambda i: examine(paths[i], boxes[i]), chunk), strict=True):
                    known[keys[index]] = facts
                    file.write(json.dumps([keys[index], asdict(facts)]) + "\n")
                file.flush()
                if progress is not None:
                    progress("opening pictures", len(paths) - len(todo) + start + len(chunk), len(paths))
    except OSError as error:
        raise RunError(f"{notes} cannot be written ({error.strerror}). Give another --output.") from error
    return [known[key] for key in keys]


def _key(path: Path, box: NDArray[np.float64]) -> str:
    try:
        status = path.stat()
        stamp = f"{status.st_size} {status.st_mtime_ns}"
    except (OSError, ValueError):
        stamp = "missing"
    return f"{VERSION} {path} {stamp} {box.tolist()}"


def _append(notes: Path | None) -> IO[str]:
    if notes is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    notes.parent.mkdir(parents=True, exist_ok=True)
    file = notes.open("a", encoding="utf-8")
    file.write("\n")  # ends the line in which a scan was killed
    return file


def _read_notes(notes: Path | None) -> dict[str, Facts]:
    known: dict[str, Facts] = {}
    if notes is None or not notes.is_file():
        return known
    with notes.open("rb") as file:
        while line := file.readline(NOTE_BYTES):
            try:
                key, values = json.loads(line)
                facts = Facts(**{**values, "size": tuple(values["size"]), "crop": tuple(values["crop"])})
                if all(type(value) is type(getattr(NOTHING, name)) for name, value in vars(facts).items()):
                    known[key] = facts
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                continue  # empty, or the line in which a scan was killed
    return known
