"""From a picture file to pixels: upright, RGB, cropped, square."""

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from earcli.errors import DataError
from earcli.untrusted.files import check_regular_file

logging.getLogger("PIL").addHandler(logging.NullHandler())  # its warnings are raised as errors as well
HEIF_SUFFIXES = (".heic", ".heif") if importlib.util.find_spec("pillow_heif") else ()
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"),
    *(".jp2", ".avif", *HEIF_SUFFIXES),
)
"""The file suffixes of pictures, in lower case."""
UNREADABLE = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "install pillow-heif, or convert it to JPEG"),
    **dict.fromkeys((".jxl", ".jpf", ".jpx", ".j2k", ".psd", ".svg", ".eps", ".pcx", ".exr"), "convert it to PNG"),
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2"), "export it as JPEG"),
}
"""What to do with pictures of a format that is not read, by their suffix in lower case."""
BIT_DEPTHS = (8, 10, 12, 14, 16)
MAX_SAMPLE_VALUE = 281
"""The TIFF tag of the largest value that a sample can have."""
MAX_BYTES = 512 << 20
"""Size limit of a file."""
MAX_PIXELS, LIMIT_VARIABLE = 200_000_000, "EAR_MAX_PIXELS"
"""The largest picture by default, which takes 600 MB in memory, and the environment variable that changes it."""
OWN_SOFTWARE = "ear"
"""What the PNG files of contact sheets and plots name as the software that made them."""
ORIENTATION = 0x0112
"""The EXIF tag of the orientation; 1 is upright."""
TRANSPOSED = (5, 6, 7, 8)
"""The orientations that swap width and height."""


class BadPictureError(DataError):
    """A picture cannot be used; the message is the reason, for `skipped.csv`.

    Attributes:
        kind: missing, empty, foreign, own, truncated, unreadable, too-large; box-infinite, box-empty, box-outside.
    """

    def __init__(self, message: str, kind: str = "unreadable") -> None:
        super().__init__(message)
        self.kind = kind


def read_crop(path: Path, box: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Reads one ear: EXIF orientation applied, RGB, cropped to its box, resized to a square by bilinear interpolation.

    Args:
        path: the picture file.
        box: x, y, width, height in pixels of the upright picture, clipped to it; NaN for the whole picture.
        size: side of the result in pixels.

    Returns:
        (size, size, 3) uint8. Ears are about 1:1.4, so the resize changes their aspect ratio.

    Raises:
        BadPictureError: the file is missing, not a picture, truncated, too large, or the box contains no pixel of it.
    """
    image = crop_picture(read_picture(path), box)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def crop_picture(image: Image.Image, box: NDArray[np.float64]) -> Image.Image:
    """Crops an upright picture to a box, clipped to the picture; NaN gives the whole picture.

    Raises:
        BadPictureError: the box is not finite, empty, or contains no pixel of the picture.
    """
    return image if np.isnan(box[0]) else image.crop(pixel_box(box, image.size))


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of the upright picture, from the header alone (except TIFF, which Pillow rotates on reading).

    Raises:
        BadPictureError: as `read_picture`.
    """
    with _opened(path) as image:
        if image.format == "TIFF":
            return read_picture(path).size
        transposed = image.getexif().get(ORIENTATION, 1) in TRANSPOSED
        return (image.height, image.width) if transposed else image.size


def read_header(path: Path) -> tuple[str, int]:
    """The format of a file by its content ("JPEG"), and its EXIF orientation (1 where it has none).

    Raises:
        BadPictureError: as `read_picture`.
    """
    with _opened(path) as image:
        return image.format or "", image.getexif().get(ORIENTATION, 1)


def read_picture(path: Path) -> Image.Image:
    """Reads a picture as upright RGB; alpha is blended over white, 16-bit gray keeps its high byte.

    Raises:
        BadPictureError: the file is missing, not a picture, truncated, or over the limit of pixels.
    """
    with _opened(path) as image:
        return _to_rgb(ImageOps.exif_transpose(image))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Opens a picture file, and turns every error of reading it into a `BadPictureError`.

    Only the formats of `SUFFIXES` are decoded: Pillow supports more, and runs Ghostscript for EPS.
    """
    try:
        limit = max_pixels()
        if check_regular_file(path, MAX_BYTES) == 0:
            raise BadPictureError("empty file", "empty")
        with Image.open(path, formats=_formats()) as image:
            if image.width * image.height > limit:
                raise BadPictureError(
                    f"{image.width}×{image.height} pixels are over the limit of {limit}, which {LIMIT_VARIABLE} raises",
                    "too-large",
                )
            if image.info.get("Software") == OWN_SOFTWARE:
                raise BadPictureError("a sheet or plot that ear drew", "own")
            yield image
    except BadPictureError:
        raise
    except FileNotFoundError as error:
        raise BadPictureError("no such file", "missing") from error
    except Image.DecompressionBombError as error:
        message = f"over the limit of {limit} pixels, which {LIMIT_VARIABLE} raises"
        raise BadPictureError(message, "too-large") from error
    except UnidentifiedImageError as error:
        raise BadPictureError("not a picture that Pillow can read", "foreign") from error
    except Exception as error:  # a damaged file can raise anything from any decoder
        kind = "truncated" if "truncated" in str(error) else "unreadable"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise BadPictureError(f"unreadable ({type(error).__name__}: {reason})", kind) from error


@cache
def max_pixels() -> int:
    """The most pixels that a picture may have; larger ones are refused because of the memory that they need.

    Raises:
        DataError: The environment variable that raises the limit is no whole number above 0.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    if text and (not text.isdecimal() or int(text) == 0):
        raise DataError(f"{LIMIT_VARIABLE} is {text!r}, expected a number of pixels such as {MAX_PIXELS}.")
    limit = int(text or MAX_PIXELS)
    if Image.MAX_IMAGE_PIXELS is not None and limit > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = limit  # Pillow refuses pictures of twice as many
    return limit


@cache
def _formats() -> list[str]:
    """Pillow's names for the formats of `SUFFIXES` that this Pillow supports."""
    if HEIF_SUFFIXES:
        importlib.import_module("pillow_heif").register_heif_opener()
    formats = Image.registered_extensions()
    # MPO has no opener of its own: that of JPEG recognizes it
    return sorted({formats[suffix] for suffix in SUFFIXES if formats.get(suffix) in Image.OPEN})


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        # gray of more than 8 bits: convert() would clip everything above 255 to white
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
        values *= 256 / (_largest_value(image, values.max(initial=0)) + 1)
        image = Image.fromarray(values.clip(0, 255, out=values).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _largest_value(image: Image.Image, largest: float) -> float:
    """The value that stands for white: a TIFF tag's, 1 of fractions, else that of the fewest bits that hold all values.

    Cameras store 10, 12 or 14 bits in 16, which would be almost black if 65,535 were white.
    """
    tagged = getattr(image, "tag_v2", {}).get(MAX_SAMPLE_VALUE)
    if isinstance(tagged, tuple):
        tagged = tagged[0] if tagged else None
    if isinstance(tagged, int) and tagged >= largest > 0:
        return float(tagged)
    if image.mode == "F" and largest <= 1:
        return 1 / 255 * 256 - 1 if largest else 255.0
    return float(next((2**bits - 1 for bits in BIT_DEPTHS if largest < 2**bits), largest))


def pixel_box(box: NDArray[np.float64], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Rounds a box of x, y, width, height to whole pixels and clips it: left, top, right, bottom.

    Raises:
        BadPictureError: as `crop_picture`.
    """
    x, y, width, height = box
    if not np.isfinite(box).all():
        raise BadPictureError("box is not finite", "box-infinite")
    left, top = max(round(x), 0), max(round(y), 0)
    right, bottom = min(round(x + width), size[0]), min(round(y + height), size[1])
    if width <= 0 or height <= 0:
        raise BadPictureError(f"box of {width:g}×{height:g} pixels is empty", "box-empty")
    if right <= left or bottom <= top:
        message = f"box {box.tolist()} lies outside the picture of {size[0]}×{size[1]} pixels"
        raise BadPictureError(message, "box-outside")
    return left, top, right, bottom


def quiet_decoding() -> warnings.catch_warnings:
    """A context without Pillow's warnings: what they are about is refused, or does not affect the pixels."""
    return warnings.catch_warnings(action="ignore")
