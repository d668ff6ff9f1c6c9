"""Opening every image once: size, checksum, hashes, sharpness; and the log from which a killed scan continues."""

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

LOG_VERSION = 1
MAX_LINE_BYTES = 64 << 10
CHUNK = 256
"""Images opened between two writes to the log."""
THUMBNAIL_SIDE = 32
SHARPNESS_SIDE = 64
BLUR_RADIUS = 2


@dataclass(frozen=True)
class PictureFacts:
    """What one image file and its crop are like. Values that could not be measured are "", 0 or (0, 0).

    Attributes:
        fault: The kind of the `BadPictureError` that reading the crop raised, or "".
        detail: Its message.
        checksum: SHA-256 of the file, in hexadecimal.
        format: The format of the content ("JPEG"), whatever the extension.
        orientation: The EXIF orientation; 1 is upright.
        size: Width and height of the upright image in pixels.
        crop: Width and height of the crop in pixels, clipped to the image.
        contrast: Standard deviation of the crop's gray values, 0 to 127.5.
        sharpness: 0 (smoothest) to 1; see `measure_sharpness`.
        hash, mirror_hash: 64-bit perceptual hash (pHash) of the crop and of its mirror image.
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

    def thumbnail_pixels(self) -> NDArray[np.uint8]:
        """(32, 32) gray values."""
        values = np.frombuffer(base64.b64decode(self.thumbnail), np.uint8)
        return values.reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE)


DEFAULTS = PictureFacts()


def examine(path: Path, box: NDArray[np.float64]) -> PictureFacts:
    """Opens one image. Whatever the file contains, this does not raise.

    Args:
        path: The image file.
        box: x, y, width, height of the crop in pixels; NaN for the whole image.
    """
    values: dict[str, Any] = {}
    try:
        check_regular_file(path, MAX_BYTES)
        with path.open("rb") as file:
            values["checksum"] = hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, ValueError):
        return PictureFacts("missing", "no such file")
    except OSError as error:
        return PictureFacts("unreadable", f"unreadable ({error.strerror})")
    try:
        image = read_picture(path)
        values["format"], values["orientation"] = read_header(path)
        values["size"] = image.size
        values |= _measure_crop(crop_picture(image, box))
    except BadPictureError as error:
        return PictureFacts(error.kind, str(error), **values)
    return PictureFacts(**values)


def _measure_crop(crop: Image.Image) -> dict[str, Any]:
    gray = crop.convert("L")
    thumbnail = gray.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
    return {
        "crop": crop.size,
        "contrast": round(float(np.asarray(gray).std()), 3),
        "sharpness": round(measure_sharpness(gray), 4),
        "hash": _perceptual_hash(gray),
        "mirror_hash": _perceptual_hash(ImageOps.mirror(gray)),
        "thumbnail": base64.b64encode(thumbnail.tobytes()).decode(),
    }


def _perceptual_hash(gray: Image.Image) -> int:
    return int.from_bytes(np.packbits(imagehash.phash(gray).hash).tobytes(), "big")


def measure_sharpness(gray: Image.Image) -> float:
    """1 − the blur measure of Crete et al., "The blur effect" (2007), at 64×64 pixels, about what a teacher sees.

    A 5-pixel box blur removes much of the differences between neighboring pixels of a sharp image, but little of those
    of a blurred one. The result is the fraction removed, 0 to 1, along the axis where it is smaller.
    """
    small = gray.resize((SHARPNESS_SIDE, SHARPNESS_SIDE), Image.Resampling.BILINEAR)
    fractions = []
    for axis, radius in ((1, (BLUR_RADIUS, 0)), (0, (0, BLUR_RADIUS))):
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
    """Examines every sample, in parallel.

    Args:
        paths: The image file of each sample.
        boxes: (N, 4) x, y, width, height in pixels; NaN for the whole image.
        workers: Number of threads.
        progress: Called while images are opened.
        scan_log: File to which results are appended, and from which a killed scan continues. An entry is valid while
            the path, size and modification time of the file, and the box, are unchanged.

    Raises:
        RunError: The log cannot be written.
    """
    keys = [_log_key(path, box) for path, box in zip(paths, boxes, strict=True)]
    results = _read_log(scan_log)
    pending = [index for index, key in enumerate(keys) if key not in results]
    try:
        # threads suffice: Pillow and hashlib release the interpreter lock
        with quiet_decoding(), ThreadPoolExecutor(workers) as pool, _append_to(scan_log) as file:
            for start in range(0, len(pending), CHUNK):
                chunk = pending[start : start + CHUNK]
                for index, facts in zip(chunk, pool.map(lambda i: examine(paths[i], boxes[i]), chunk), strict=True):
                    results[keys[index]] = facts
                    file.write(json.dumps([keys[index], asdict(facts)]) + "\n")
                file.flush()
                if progress is not None:
                    progress("opening images", len(paths) - len(pending) + start + len(chunk), len(paths))
    except OSError as error:
        raise RunError(f"{scan_log} cannot be written ({error.strerror}). Give another folder.") from error
    return [results[key] for key in keys]


def _log_key(path: Path, box: NDArray[np.float64]) -> str:
    try:
        status = path.stat()
        version = f"{status.st_size} {status.st_mtime_ns}"
    except (OSError, ValueError):
        version = "missing"
    return f"{LOG_VERSION} {path} {version} {box.tolist()}"


def _append_to(scan_log: Path | None) -> IO[str]:
    if scan_log is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    scan_log.parent.mkdir(parents=True, exist_ok=True)
    file = scan_log.open("a", encoding="utf-8")
    file.write("\n")  # ends a line that a killed scan left incomplete
    return file


def _read_log(scan_log: Path | None) -> dict[str, PictureFacts]:
    results: dict[str, PictureFacts] = {}
    if scan_log is None or not scan_log.is_file():
        return results
    with scan_log.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            try:
                key, values = json.loads(line)
                facts = PictureFacts(**{**values, "size": tuple(values["size"]), "crop": tuple(values["crop"])})
                if all(type(value) is type(getattr(DEFAULTS, name)) for name, value in vars(facts).items()):
                    results[key] = facts
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                continue  # an empty line, or one that a killed scan left incomplete
    return results
