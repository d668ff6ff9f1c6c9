"""Opens each sample's picture once and measures it: size, checksum, hashes, sharpness."""

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
LOG_LINE_BYTES = 64 << 10
CHUNK = 256
THUMBNAIL_SIDE = 32
SHARPNESS_SIDE = 64
SHARPNESS_BLUR = 2


@dataclass(frozen=True)
class PictureFacts:
    """Measurements of one sample. What could not be measured is "", 0 or (0, 0).

    Attributes:
        fault: the kind of `BadPictureError` that reading the crop raised, or "".
        detail: its message.
        checksum: SHA-256 of the file.
        format: of the content ("JPEG"), independent of the name.
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


NOTHING = PictureFacts()


def examine(path: Path, box: NDArray[np.float64]) -> PictureFacts:
    """Measures one sample; never raises because of a file's content."""
    known: dict[str, Any] = {}
    try:
        check_regular_file(path, MAX_BYTES)
        with path.open("rb") as file:
            known["checksum"] = hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, ValueError):
        return PictureFacts("missing", "no such file")
    except OSError as error:
        return PictureFacts("unreadable", f"unreadable ({error.strerror})")
    try:
        image = read_picture(path)
        known["format"], known["orientation"] = read_header(path)
        known["size"] = image.size
        known |= _measure(crop_picture(image, box))
    except BadPictureError as error:
        return PictureFacts(error.kind, str(error), **known)
    return PictureFacts(**known)


def _measure(crop: Image.Image) -> dict[str, Any]:
    gray = crop.convert("L")
    thumbnail = gray.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
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
    """1 − the blur measure of Crete et al., "The blur effect" (2007), at 64×64 pixels, about the resolution of a
    teacher.

    The picture is blurred with a box of 5 pixels. A sharp picture loses much of the differences between neighboring
    pixels, a blurred one almost nothing. Returns the fraction lost, in the direction that loses less.
    """
    small = gray.resize((SHARPNESS_SIDE, SHARPNESS_SIDE), Image.Resampling.BILINEAR)
    fractions = []
    for axis, radius in ((1, (SHARPNESS_BLUR, 0)), (0, (0, SHARPNESS_BLUR))):
        before = np.abs(np.diff(np.asarray(small, dtype=np.float32), axis=axis))
        blurred = small.filter(ImageFilter.BoxBlur(radius))
        after = np.abs(np.diff(np.asarray(blurred, dtype=np.float32), axis=axis))
        fractions.append(np.maximum(before - after, 0).sum() / max(before.sum(), 1e-6))
    return float(min(fractions))


def scan(
    paths: Sequence[Path],
    boxes: NDArray[np.float64],
    workers: int,
    progress: Progress | None = None,
    scan_log: Path | None = None,
) -> list[PictureFacts]:
    """Measures every sample, in parallel.

    Args:
        paths: one file per sample.
        boxes: (N, 4) of x, y, width, height in pixels; NaN for the whole picture.
        workers: threads.
        progress: called after each chunk.
        scan_log: file to which results are appended as they come, so that a killed scan continues from there. An entry
            is valid while path, size, modification time and box are unchanged.

    Raises:
        RunError: `scan_log` cannot be written.
    """
    keys = [_key(path, box) for path, box in zip(paths, boxes, strict=True)]
    known = _read_log(scan_log)
    todo = [index for index, key in enumerate(keys) if key not in known]
    try:
        with quiet_decoding(), ThreadPoolExecutor(workers) as pool, _open_log(scan_log) as file:
            # Pillow and hashlib release the GIL
            for start in range(0, len(todo), CHUNK):
                chunk = todo[start : start + CHUNK]
                for index, facts in zip(chunk, pool.map(lambda i: examine(paths[i], boxes[i]), chunk), strict=True):
                    known[keys[index]] = facts
                    file.write(json.dumps([keys[index], asdict(facts)]) + "\n")
                file.flush()
                if progress is not None:
                    progress("opening pictures", len(paths) - len(todo) + start + len(chunk), len(paths))
    except OSError as error:
        raise RunError(f"{scan_log} cannot be written ({error.strerror}). Give another folder.") from error
    return [known[key] for key in keys]


def _key(path: Path, box: NDArray[np.float64]) -> str:
    try:
        status = path.stat()
        stamp = f"{status.st_size} {status.st_mtime_ns}"
    except (OSError, ValueError):
        stamp = "missing"
    return f"{VERSION} {path} {stamp} {box.tolist()}"


def _open_log(scan_log: Path | None) -> IO[str]:
    if scan_log is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    scan_log.parent.mkdir(parents=True, exist_ok=True)
    file = scan_log.open("a", encoding="utf-8")
    file.write("\n")  # ends the incomplete line of a killed scan
    return file


def _read_log(scan_log: Path | None) -> dict[str, PictureFacts]:
    known: dict[str, PictureFacts] = {}
    if scan_log is None or not scan_log.is_file():
        return known
    with scan_log.open("rb") as file:
        while line := file.readline(LOG_LINE_BYTES):
            try:
                key, values = json.loads(line)
                facts = PictureFacts(**{**values, "size": tuple(values["size"]), "crop": tuple(values["crop"])})
                if all(type(value) is type(getattr(NOTHING, name)) for name, value in vars(facts).items()):
                    known[key] = facts
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                continue  # empty, or the incomplete line of a killed scan
    return known
